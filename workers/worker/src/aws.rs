//! How every worker talks to AWS: one TLS stack, and a limit on every call.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// How long one AWS call may take, its retries included.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    attempts: u32,
    attempt: Duration,
    operation: Duration,
}

/// For the calls that contain and repair. The SDK sets no such limits itself, and its first
/// back-off of up to a second suits APIs that allow one call a second.
pub const CONTROL: Limits = Limits {
    attempts: 5,
    attempt: Duration::from_secs(5),
    operation: Duration::from_secs(20),
};

/// For the ledger, which must never hold containment up.
pub const LEDGER: Limits = Limits {
    attempts: 2,
    attempt: Duration::from_millis(1_500),
    operation: Duration::from_secs(3),
};

/// The shared AWS configuration of a worker: region, credentials and endpoint from the
/// environment, as Lambda sets them.
pub async fn sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https(),
        )
        .load()
        .await
}

impl Limits {
    /// `config` with these limits on every call.
    #[must_use]
    pub fn on(self, config: &SdkConfig) -> SdkConfig {
        config
            .to_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(self.attempts))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(1))
                    .operation_attempt_timeout(self.attempt)
                    .operation_timeout(self.operation)
                    .build(),
            )
            .build()
    }
}
