//! The services of the local AWS, with somebody's credentials.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::{REGION, ROOT_KEY};

/// One client for each service that a drill talks to.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) cloudformation: aws_sdk_cloudformation::Client,
    pub(crate) cloudtrail: aws_sdk_cloudtrail::Client,
    pub(crate) cognito: aws_sdk_cognitoidentityprovider::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) eventbridge: aws_sdk_eventbridge::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sfn: aws_sdk_sfn::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) sts: aws_sdk_sts::Client,
    pub(crate) waf: aws_sdk_wafv2::Client,
}

/// How to reach the local AWS, and only it: nothing is read from the environment.
pub(crate) fn config(endpoint: &str) -> SdkConfig {
    let root = Credentials::new(ROOT_KEY, ROOT_KEY, None, None, "drill");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(root))
        .http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https(),
        )
        .build()
}

impl Clients {
    /// Those of whoever `config` has the credentials of: root, as it comes.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(true)
            .build();
        Self {
            cloudformation: aws_sdk_cloudformation::Client::new(config),
            cloudtrail: aws_sdk_cloudtrail::Client::new(config),
            cognito: aws_sdk_cognitoidentityprovider::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            eventbridge: aws_sdk_eventbridge::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sfn: aws_sdk_sfn::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            waf: aws_sdk_wafv2::Client::new(config),
        }
    }

    /// Those of the public, who have no credentials.
    pub(crate) fn anonymous(config: &SdkConfig) -> Self {
        let mut config = config.to_builder();
        config.set_credentials_provider(None);
        Self::new(&config.build())
    }

    /// Those of whoever holds `credentials`.
    pub(crate) fn with(credentials: Credentials, config: &SdkConfig) -> Self {
        let config = config
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Self::new(&config)
    }
}
