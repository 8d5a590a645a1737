//! AWS's own policies, whose documents no customer can change.

use incident::Arn;

/// What is known of a managed policy by its ARN alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It grants administration, or all but.
    Administration,
    /// It only denies.
    Denial,
    /// It grants no administration.
    Ordinary,
    /// Its document has to be read.
    Unknown,
}

/// Whoever holds one of these can make themselves an administrator.
const ADMINISTRATION: [&str; 7] = [
    "AWSOrganizationsFullAccess",
    "AWSSSOMasterAccountAdministrator",
    "AWSSSOMemberAccountAdministrator",
    "AdministratorAccess",
    "IAMFullAccess",
    "PowerUserAccess",
    "SystemAdministrator",
];

/// What services and auditors are given every day.
const ORDINARY: [&str; 9] = [
    "AWSLambdaBasicExecutionRole",
    "AWSLambdaVPCAccessExecutionRole",
    "AWSXRayDaemonWriteAccess",
    "AmazonAPIGatewayPushToCloudWatchLogs",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonSSMManagedInstanceCore",
    "CloudWatchAgentServerPolicy",
    "IAMUserChangePassword",
    "SecurityAudit",
];

/// What a managed policy is, by the name that AWS gave it, in any partition. A customer's policy of
/// the same name is unknown.
#[must_use]
pub fn managed(arn: &str) -> Known {
    let Some(name) = aws_policy(arn) else {
        return Known::Unknown;
    };
    let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_one_of(&ADMINISTRATION) || name.starts_with("AdministratorAccess-") {
        Known::Administration
    } else if is_one_of(&["AWSDenyAll"]) || name.starts_with("AWSCompromisedKeyQuarantine") {
        Known::Denial
    } else if is_one_of(&ORDINARY)
        || ["ReadOnlyAccess", "ViewOnlyAccess"]
            .iter()
            .any(|end| name.ends_with(end))
    {
        Known::Ordinary
    } else {
        Known::Unknown
    }
}

/// The name of a policy of AWS's own.
fn aws_policy(arn: &str) -> Option<&str> {
    let parsed: Arn = arn.parse().ok()?;
    let is_aws = parsed.service() == "iam" && parsed.account() == "aws";
    (is_aws && parsed.resource().starts_with("policy/")).then_some(())?;
    arn.rsplit('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_policies_are_known_by_name_in_every_partition_and_path() {
        for (arn, known) in [
            (
                "arn:aws:iam::aws:policy/AdministratorAccess",
                Known::Administration,
            ),
            (
                "arn:aws-us-gov:iam::aws:policy/AdministratorAccess",
                Known::Administration,
            ),
            (
                "arn:aws-cn:iam::aws:policy/IAMFullAccess",
                Known::Administration,
            ),
            (
                "arn:aws:iam::aws:policy/PowerUserAccess",
                Known::Administration,
            ),
            (
                "arn:aws:iam::aws:policy/job-function/SystemAdministrator",
                Known::Administration,
            ),
            (
                "arn:aws:iam::aws:policy/AdministratorAccess-Amplify",
                Known::Administration,
            ),
            ("arn:aws:iam::aws:policy/AWSDenyAll", Known::Denial),
            (
                "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3",
                Known::Denial,
            ),
            ("arn:aws:iam::aws:policy/ReadOnlyAccess", Known::Ordinary),
            (
                "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess",
                Known::Ordinary,
            ),
            (
                "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
                Known::Ordinary,
            ),
            (
                "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
                Known::Ordinary,
            ),
            (
                "arn:aws:iam::aws:policy/AWSLambda_FullAccess",
                Known::Unknown,
            ),
        ] {
            assert_eq!(managed(arn), known, "{arn}");
        }
    }

    #[test]
    fn a_look_alike_is_unknown() {
        for arn in [
            "arn:aws:iam::123456789012:policy/AdministratorAccess",
            "arn:aws:iam::123456789012:policy/aws/ReadOnlyAccess",
            "arn:aws:iam::123456789012:policy/AWSDenyAll",
            "arn:aws:iam::aws:role/AWSDenyAll",
            "arn:aws:s3:::aws:policy/ReadOnlyAccess",
            "AWSDenyAll",
            "",
        ] {
            assert_eq!(managed(arn), Known::Unknown, "{arn}");
        }
    }
}
