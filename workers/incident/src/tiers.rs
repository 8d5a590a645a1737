//! Who may be contained, and how far: never lock yourself out.

use crate::{Actor, Arn, BadSetting, Containment, Principal, RoleArn, Settings, text::Text};

/// The tiers of principals, from configuration.
///
/// Names are compared within their account and type, where AWS keeps them unique whatever their
/// path and their case; never by pattern, so a look-alike name earns nothing.
#[derive(Debug, Clone)]
pub struct Tiers {
    account: String,
    deny_policy: Arn,
    break_glass: Vec<Principal>,
    operators: Vec<RoleArn>,
    responders: Vec<RoleArn>,
    workload: Vec<RoleArn>,
    shared: Vec<RoleArn>,
}

/// Every role of `infra/template.yaml`, without the stack's name; a contract holds the two together.
pub const RESPONDER_ROLES: [&str; 35] = [
    "assess-event",
    "block-ip",
    "check-trails",
    "close-incident",
    "deny-all-policy",
    "disable-crm-user",
    "events",
    "find-activity",
    "find-offenders",
    "find-readers",
    "find-sessions",
    "machine-api-attack",
    "machine-check-trails",
    "machine-cloudtrail-disabled",
    "machine-credential-attack",
    "machine-honey-token",
    "machine-patient-data-access",
    "machine-privilege-escalation",
    "machine-record-baseline",
    "machine-site-vandalism",
    "machine-sweep-blocks",
    "machine-triage",
    "notify",
    "open-incident",
    "purge-cache",
    "quarantine-object",
    "record-baseline",
    "restore-cloudtrail",
    "restore-detection",
    "restore-log-archive",
    "revoke-sessions",
    "roll-back-grant",
    "sweep-blocks",
    "tally-sign-ins",
    "verify-containment",
];

/// The responder's own roles: [`RESPONDER_ROLES`] of the stack `STACK_NAME` in the account `ACCOUNT_ID`
/// of `PARTITION`, where a stack is given; and `RESPONDER_ROLE_ARNS`, where others respond too.
///
/// # Errors
/// Names the setting that is missing or does not parse.
pub fn responder_roles<F>(settings: &Settings<F>) -> Result<Vec<RoleArn>, BadSetting>
where
    F: Fn(&str) -> Option<String>,
{
    let mut roles: Vec<RoleArn> = settings.list("RESPONDER_ROLE_ARNS")?;
    if let Some(stack) = settings.optional::<String>("STACK_NAME")? {
        let partition: String = settings.required("PARTITION")?;
        let account: String = settings.required("ACCOUNT_ID")?;
        for name in RESPONDER_ROLES {
            let role = format!("arn:{partition}:iam::{account}:role/tourniquet/{stack}-{name}");
            let role = role
                .parse()
                .map_err(|why| BadSetting::new("STACK_NAME", format!("{why}")))?;
            roles.push(role);
        }
    }
    Ok(roles)
}

impl Tiers {
    /// Reads `ACCOUNT_ID`, `DENY_POLICY_ARN`, `BREAK_GLASS_ARNS`, `OPERATOR_ROLE_ARNS`,
    /// `WORKLOAD_ROLE_ARNS`, `SHARED_ROLE_ARNS`, `CI_ROLE_ARNS`, whose roles are shared too, and
    /// what [`responder_roles`] reads.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let mut shared: Vec<RoleArn> = settings.list("SHARED_ROLE_ARNS")?;
        shared.extend(settings.list::<RoleArn>("CI_ROLE_ARNS")?);
        Ok(Self {
            account: settings.required("ACCOUNT_ID")?,
            deny_policy: settings.required("DENY_POLICY_ARN")?,
            break_glass: settings.list("BREAK_GLASS_ARNS")?,
            operators: settings.list("OPERATOR_ROLE_ARNS")?,
            responders: responder_roles(settings)?,
            workload: settings.list("WORKLOAD_ROLE_ARNS")?,
            shared,
        })
    }

    /// The account that is protected.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The managed policy that denies everything.
    #[must_use]
    pub fn deny_policy(&self) -> &Arn {
        &self.deny_policy
    }

    /// Whether `actor` is one of the responder's own roles, by its exact ARN.
    #[must_use]
    pub fn is_responder(&self, actor: &Actor) -> bool {
        matches!(actor, Actor::Role { arn, .. } if self.responders.contains(arn))
    }

    /// Whether `actor` is an operator or has break-glass access, who may press our buttons.
    #[must_use]
    pub fn is_operator(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Role { arn, .. } => {
                contains(&self.operators, arn)
                    || self
                        .break_glass
                        .iter()
                        .any(|one| matches!(one, Principal::Role(role) if role.is_same(arn)))
            }
            Actor::IamUser { arn } => self
                .break_glass
                .iter()
                .any(|one| matches!(one, Principal::User(user) if user.is_same(arn))),
            _ => false,
        }
    }

    /// Whether anybody is named who may press our buttons.
    #[must_use]
    pub fn has_operators(&self) -> bool {
        !self.operators.is_empty()
    }

    /// How far `actor` may be contained. Callable anywhere: a worker asks again before it acts,
    /// whatever its payload says.
    #[must_use]
    pub fn containment(&self, actor: &Actor) -> Containment {
        match self.refusal(actor) {
            Some(reason) => self.none(actor, &reason),
            None => match actor {
                Actor::Role {
                    arn,
                    session: Some(session),
                } if contains(&self.shared, arn) => Containment::Session {
                    reason: Text::cut(&format!(
                        "role {} is shared: only session {} and its older tokens are denied",
                        arn.name(),
                        session.name
                    )),
                },
                _ => Containment::Principal {
                    reason: Text::cut(&match actor {
                        Actor::FederatedUser { issuer, .. } => {
                            format!(
                                "the session ends with IAM user {}, its issuer",
                                issuer.name()
                            )
                        }
                        _ => "an ordinary principal of this account".to_owned(),
                    }),
                },
            },
        }
    }

    /// Containment `none` for `reason`, with the calls a human would make.
    #[must_use]
    pub fn none(&self, actor: &Actor, reason: &str) -> Containment {
        Containment::None {
            reason: Text::cut(reason),
            by_hand: Text::cut(&self.by_hand(actor)),
        }
    }

    fn refusal(&self, actor: &Actor) -> Option<String> {
        let principal_account = match actor {
            Actor::IamUser { arn } | Actor::FederatedUser { issuer: arn, .. } => arn.account(),
            Actor::Role { arn, .. } => arn.account(),
            Actor::Root { account } if account.as_str() == self.account => {
                return Some("IAM cannot deny root".to_owned());
            }
            Actor::Root { account } => account.as_str(),
            Actor::OtherAccount { account } => account.as_str(),
            Actor::AwsService { name } => {
                return Some(format!(
                    "{name} acts for itself: there is no principal to deny"
                ));
            }
            Actor::Unidentified { reason } => return Some(format!("nobody to contain: {reason}")),
        };
        if principal_account != self.account {
            return Some(format!(
                "the principal belongs to account {principal_account}, which this account cannot change"
            ));
        }
        match actor {
            Actor::IamUser { arn } | Actor::FederatedUser { issuer: arn, .. } => self
                .break_glass
                .iter()
                .any(|principal| matches!(principal, Principal::User(user) if user.is_same(arn)))
                .then(|| format!("IAM user {} is break-glass access", arn.name())),
            Actor::Role { arn, session } => self.role_refusal(arn, session.is_some()),
            _ => None,
        }
    }

    fn role_refusal(&self, arn: &RoleArn, has_session: bool) -> Option<String> {
        let name = arn.name();
        let break_glass = self
            .break_glass
            .iter()
            .any(|principal| matches!(principal, Principal::Role(role) if role.is_same(arn)));
        if break_glass {
            Some(format!("role {name} is break-glass access"))
        } else if contains(&self.responders, arn) {
            Some(format!("role {name} is the responder's own"))
        } else if contains(&self.operators, arn) {
            Some(format!("role {name} is the operators' own"))
        } else if arn.path().starts_with("/aws-service-role/") {
            Some(format!(
                "role {name} is service-linked: only AWS may modify it"
            ))
        } else if arn.path().starts_with("/aws-reserved/sso.amazonaws.com/") {
            Some(format!(
                "role {name} belongs to IAM Identity Center: only AWS may modify it"
            ))
        } else if contains(&self.workload, arn) {
            Some(format!(
                "role {name} is a workload of the CRM: denying it stops patient care, and a \
                 thief's session looks like production's"
            ))
        } else if contains(&self.shared, arn) && !has_session {
            Some(format!(
                "role {name} is shared, and which session did it is not known"
            ))
        } else {
            None
        }
    }

    /// The exact calls by which a human contains `actor`.
    #[must_use]
    fn by_hand(&self, actor: &Actor) -> String {
        let policy = &self.deny_policy;
        match actor {
            Actor::IamUser { arn } | Actor::FederatedUser { issuer: arn, .. }
                if arn.account() == self.account =>
            {
                let name = arn.name();
                format!(
                    "aws iam attach-user-policy --user-name {name} --policy-arn {policy}; then for \
                     each key: aws iam update-access-key --user-name {name} --status Inactive \
                     --access-key-id <id>"
                )
            }
            Actor::Role { arn, session } if arn.account() == self.account => {
                self.role_by_hand(arn, session.as_ref().map(|session| session.name.as_str()))
            }
            Actor::Root { account } if account.as_str() == self.account => format!(
                "sign in as the account's owner, change root's password, remove its access keys and \
                 check its MFA devices; or, from the organization's management account: aws \
                 organizations attach-policy --policy-id <a deny-all SCP> --target-id {account}"
            ),
            Actor::AwsService { .. } => {
                "find out who asked for it: aws cloudtrail lookup-events --lookup-attributes \
                 AttributeKey=EventId,AttributeValue=<the event's id>"
                    .to_owned()
            }
            Actor::Unidentified { .. } => {
                "find out who did it: aws cloudtrail lookup-events --lookup-attributes \
                 AttributeKey=EventId,AttributeValue=<the event's id>, or, where there is no event, \
                 AttributeKey=ReadOnly,AttributeValue=false around that time; then contain them: start \
                 this runbook with them as actor, and a reason"
                    .to_owned()
            }
            Actor::IamUser { .. }
            | Actor::FederatedUser { .. }
            | Actor::Role { .. }
            | Actor::Root { .. }
            | Actor::OtherAccount { .. } => {
                "take the other account out of every role's trust (aws iam \
                 update-assume-role-policy --role-name <role> --policy-document <trust>) and out of \
                 the bucket and key policies that name it; call its owner"
                    .to_owned()
            }
        }
    }

    fn role_by_hand(&self, arn: &RoleArn, session: Option<&str>) -> String {
        let name = arn.name();
        let is_of = |path, names| arn.path().starts_with(path) || name.starts_with(names);
        if is_of("/aws-service-role/", "AWSServiceRoleFor") {
            return format!(
                "find out who made the service act; if the role is not needed: aws iam \
                 delete-service-linked-role --role-name {name}"
            );
        }
        if is_of("/aws-reserved/sso.amazonaws.com/", "AWSReservedSSO_") {
            let user = session.unwrap_or("<user>");
            return format!(
                "from the Identity Center account: aws sso-admin \
                 put-inline-policy-to-permission-set --instance-arn <instance> \
                 --permission-set-arn <the set of {name}> --inline-policy \
                 '{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Deny\",\"Action\":\"*\",\
                 \"Resource\":\"*\",\"Condition\":{{\"StringLike\":{{\"aws:userid\":\"*:{user}\"}}}}}}]}}'; \
                 then aws sso-admin provision-permission-set --instance-arn <instance> \
                 --permission-set-arn <the same> --target-type ALL_PROVISIONED_ACCOUNTS; and \
                 disable the user"
            );
        }
        let policy = &self.deny_policy;
        let attach = format!("aws iam attach-role-policy --role-name {name} --policy-arn {policy}");
        if !contains(&self.workload, arn) {
            return attach;
        }
        format!(
            "{attach} (this stops the CRM; to end only the sessions that exist now: aws iam \
             put-role-policy --role-name {name} --policy-name AWSRevokeOlderSessions \
             --policy-document '{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Deny\",\
             \"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{{\"DateLessThan\":\
             {{\"aws:TokenIssueTime\":\"<now, in UTC>\"}}}}}}]}}')"
        )
    }
}

fn contains(roles: &[RoleArn], role: &RoleArn) -> bool {
    roles.iter().any(|listed| listed.is_same(role))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tiers() -> Tiers {
        Tiers::from_settings(&Settings::new(|name| {
            let value = match name {
                "ACCOUNT_ID" => "123456789012",
                "DENY_POLICY_ARN" => "arn:aws:iam::aws:policy/AWSDenyAll",
                "BREAK_GLASS_ARNS" => {
                    "arn:aws:iam::123456789012:user/glass, arn:aws:iam::123456789012:role/glass"
                }
                "OPERATOR_ROLE_ARNS" => "arn:aws:iam::123456789012:role/operator",
                "RESPONDER_ROLE_ARNS" => "arn:aws:iam::123456789012:role/tourniquet/deny",
                "WORKLOAD_ROLE_ARNS" => "arn:aws:iam::123456789012:role/crm",
                "SHARED_ROLE_ARNS" => "arn:aws:iam::123456789012:role/ci/deploy",
                _ => return None,
            };
            Some(value.to_owned())
        }))
        .unwrap()
    }

    fn user(name: &str) -> Actor {
        actor(&format!("arn:aws:iam::123456789012:user/{name}"))
    }

    fn actor(arn: &str) -> Actor {
        Actor::from_arn(&arn.parse().unwrap()).unwrap()
    }

    fn identity(value: &Value) -> Actor {
        Actor::of(value, "123456789012")
    }

    #[test]
    fn ordinary_principals_are_contained_whole() {
        for actor in [
            user("eve"),
            user("staff/eve"),
            actor("arn:aws:iam::123456789012:role/admin"),
            actor("arn:aws:sts::123456789012:assumed-role/admin/eve"),
            identity(&json!({
                "type": "FederatedUser",
                "sessionContext": {"sessionIssuer": {
                    "type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/eve",
                }},
            })),
        ] {
            let containment = tiers().containment(&actor);
            assert!(
                matches!(containment, Containment::Principal { .. }),
                "{actor}: {containment:?}"
            );
        }
    }

    #[test]
    fn a_look_alike_name_earns_nothing() {
        for arn in [
            "arn:aws:iam::123456789012:role/crm-evil",
            "arn:aws:iam::123456789012:role/crm/evil",
            "arn:aws:iam::123456789012:role/tourniquet/evil",
            "arn:aws:iam::123456789012:role/AWSReservedSSO_Admin_0123456789abcdef",
            "arn:aws:iam::123456789012:role/AWSServiceRoleForEvil",
            "arn:aws:iam::123456789012:user/crm",
            "arn:aws:iam::123456789012:user/operator",
        ] {
            let containment = tiers().containment(&actor(arn));
            assert!(
                matches!(containment, Containment::Principal { .. }),
                "{arn}: {containment:?}"
            );
        }
    }

    #[test]
    fn a_shared_role_is_contained_by_session() {
        let session = actor("arn:aws:sts::123456789012:assumed-role/deploy/run-7");
        assert!(matches!(
            tiers().containment(&session),
            Containment::Session { .. }
        ));
        let whole = actor("arn:aws:iam::123456789012:role/ci/deploy");
        assert!(tiers().containment(&whole).is_none());
    }

    #[test]
    fn a_role_that_turns_out_to_be_unmodifiable_comes_with_its_call() {
        // A session's ARN leaves the path out, so only IAM's answer tells.
        let alice = actor("arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0/alice");
        assert!(matches!(
            tiers().containment(&alice),
            Containment::Principal { .. }
        ));
        let Containment::None { by_hand, .. } = tiers().none(&alice, "IAM refused") else {
            panic!("none is none");
        };
        assert!(
            by_hand
                .as_str()
                .contains("put-inline-policy-to-permission-set")
        );
        assert!(by_hand.as_str().contains("*:alice"));
    }

    #[test]
    fn whoever_must_not_be_contained_is_left_with_a_reason_and_a_call() {
        let none = [
            ("root", json!({"type": "Root", "accountId": "123456789012"})),
            (
                "break-glass user",
                json!({"type": "IAMUser", "userName": "glass"}),
            ),
            ("break-glass role", session("role/glass")),
            ("break-glass role, in another case", session("role/Glass")),
            ("responder", session("role/tourniquet/deny")),
            ("operator", session("role/operator")),
            ("workload", session("role/crm")),
            (
                "service-linked",
                session("role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX"),
            ),
            (
                "SSO",
                session("role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0"),
            ),
            (
                "another account",
                json!({"type": "AWSAccount", "accountId": "999988887777"}),
            ),
            (
                "another account's user",
                json!({
                    "type": "IAMUser", "accountId": "999988887777",
                    "arn": "arn:aws:iam::999988887777:user/eve",
                }),
            ),
            (
                "another account's root",
                json!({"type": "Root", "accountId": "999988887777"}),
            ),
            (
                "service",
                json!({"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}),
            ),
            ("nobody", json!(null)),
        ]
        .map(|(who, event)| {
            let containment = tiers().containment(&identity(&event));
            let Containment::None { reason, by_hand } = containment else {
                panic!("{who}: {containment:?}");
            };
            format!("{who}: {reason}\n  {by_hand}")
        });
        insta::assert_snapshot!(none.join("\n"));
    }

    fn session(role: &str) -> Value {
        json!({
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLE:alice",
            "sessionContext": {"sessionIssuer": {
                "type": "Role", "arn": format!("arn:aws:iam::123456789012:{role}"),
            }},
        })
    }
}
