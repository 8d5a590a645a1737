//! What there is to take back.

use std::cmp::Reverse;

use aws_sdk_iam::types::{PolicyVersion, StatusType};
use iam_policy::Document;
use incident::{Actor, Arn, Grant, Grantee, Principal, RoleArn, UserArn, cut};
use jiff::Timestamp;
use serde_json::{Value, json};
use worker::Failure;

use crate::{
    RollBackGrant,
    change::Change,
    grant::{Subject, mechanism},
    report::Step,
    trust::closed,
};

/// IAM and CloudTrail take the time of a call apart from each other, by a second or so: as many
/// seconds are allowed for it.
const CLOCKS_APART: i64 = 5;

/// An attacker may name many outsiders.
const LONGEST_NAMES: usize = 300;

/// What is there of a grant.
#[derive(Debug, Default)]
pub(crate) struct Look<'a> {
    /// Whether any of it is there.
    pub(crate) found: bool,
    /// What is held, and taken back where that is needed.
    pub(crate) parts: Vec<Part<'a>>,
    /// What was found that is not held.
    pub(crate) states: Vec<String>,
    /// What is for a human.
    pub(crate) left: Vec<String>,
    /// What is for a human, unless an incident took it back before.
    pub(crate) unexplained: Vec<String>,
}

/// One thing to hold, and its change.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) mechanism: String,
    pub(crate) original: Value,
    pub(crate) step: Step<'a>,
}

impl<'a> Look<'a> {
    pub(crate) fn nothing(state: String) -> Self {
        Self {
            states: vec![state],
            ..Self::default()
        }
    }

    /// The one part of a grant that is held as a whole.
    fn part(grant: &Grant, original: Value, step: Step<'a>) -> Self {
        let found = step.change.is_some();
        let part = mechanism(grant).map(|mechanism| Part {
            mechanism,
            original,
            step,
        });
        Self {
            found,
            parts: part.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The calls that take it back; none when there is nothing to take.
    pub(crate) fn by_hand(&self) -> Option<String> {
        let changes = self
            .parts
            .iter()
            .filter_map(|part| part.step.change.as_ref());
        let calls: Vec<_> = changes.map(Change::by_hand).collect();
        (!calls.is_empty()).then(|| calls.join("; "))
    }
}

impl RollBackGrant {
    /// Reads what is there of a grant that was made at `since`.
    ///
    /// # Errors
    /// [`Failure::TargetNotFound`] when whoever was given it, or the policy, does not exist.
    pub(crate) async fn look<'a>(
        &self,
        grant: &'a Grant,
        since: Timestamp,
    ) -> Result<Look<'a>, Failure> {
        match grant {
            Grant::AttachedPolicy { grantee, policy } => {
                let holder = self.iam.holder(grantee)?;
                let attached = holder.has(policy).await?;
                let step = if attached {
                    Step::change(Change::Detach(holder, policy), "detached")
                } else {
                    Step::found("not attached")
                };
                Ok(Look::part(grant, json!({"attached": attached}), step))
            }
            Grant::InlinePolicy { grantee, name } => {
                self.look_inline(grant, grantee, name.as_str()).await
            }
            Grant::PolicyVersion { policy, .. } => self.look_version(grant, policy, since).await,
            Grant::Membership { user, group } => {
                let member = self.iam.is_member(user, group.name()).await?;
                let step = if member {
                    Step::change(Change::RemoveFromGroup(user, group), "taken out")
                } else {
                    Step::found("no member")
                };
                Ok(Look::part(grant, json!({"member": member}), step))
            }
            Grant::AccessKey { user } => self.look_keys(user, since).await,
            Grant::LoginProfile { user } => {
                let existed = self.iam.has_password(user).await?;
                let step = if existed {
                    Step::change(Change::DeletePassword(user), "deleted")
                } else {
                    Step::found("there is none")
                };
                Ok(Look::part(grant, json!({"existed": existed}), step))
            }
            Grant::Trust { role } | Grant::Role { role } => self.look_trust(grant, role).await,
            Grant::Boundary { principal } => self.look_boundary(principal).await,
        }
    }

    /// A document that cannot be read is taken for the one that was judged.
    async fn look_inline<'a>(
        &self,
        grant: &Grant,
        grantee: &'a Grantee,
        name: &'a str,
    ) -> Result<Look<'a>, Failure> {
        let holder = self.iam.holder(grantee)?;
        let Some(document) = holder.inline(name).await? else {
            let original = json!({"document": null});
            return Ok(Look::part(grant, original, Step::found("there is none")));
        };
        if Document::read(&document).is_some_and(|read| read.administration().is_none()) {
            return Ok(Look::nothing(
                "left as it is: it grants no administration".to_owned(),
            ));
        }
        let check = self
            .is_depended_on(&Subject::Grantee(grantee.clone()))
            .then(|| {
                let who = grantee.name();
                format!(
                    "others depend on role {who}: see that what uses it still works. If {name} was \
                     its own policy, written over, deploy it again: what it said before, IAM does \
                     not keep"
                )
            });
        let step = Step::change(Change::DeleteInline(holder, name), "deleted").then(check);
        Ok(Look::part(grant, json!({"document": document}), step))
    }

    async fn look_version<'a>(
        &self,
        grant: &Grant,
        policy: &'a Arn,
        since: Timestamp,
    ) -> Result<Look<'a>, Failure> {
        let mut versions = self.iam.versions(policy).await?;
        let default = versions.iter().find(|version| version.is_default_version);
        let default = default.map(id).unwrap_or_default().to_owned();
        if self.is_harmless(policy, &default).await? {
            let what = if policy == self.tiers.deny_policy() {
                "denies everything"
            } else {
                "grants no administration"
            };
            let step = Step::found(format!("{default}, the default now, {what}"));
            return Ok(Look::part(grant, json!({"default": null}), step));
        }
        versions.retain(|version| made(version) < since.as_second());
        versions.sort_by_key(|version| Reverse((made(version), number(version))));
        for earlier in &versions {
            let to = id(earlier);
            if self.is_harmless(policy, to).await? {
                let original = json!({"default": default, "rolledBackTo": to});
                let change = Change::SetDefault {
                    policy,
                    version: to.to_owned(),
                };
                let done = format!("set back from {default} to {to}, {default} kept");
                return Ok(Look::part(grant, original, Step::change(change, done)));
            }
        }
        Ok(Look {
            found: true,
            states: vec![format!("{default} stays the default")],
            left: vec![format!(
                "no earlier version of policy {policy} can take the place of {default}: write one \
                 (aws iam create-policy-version --policy-arn {policy} --policy-document <what it \
                 should say> --set-as-default; of five versions, delete one that is not {default}), \
                 or take it off whoever has it (aws iam list-entities-for-policy --policy-arn \
                 {policy}; aws iam detach-user-policy, detach-role-policy, detach-group-policy)"
            )],
            ..Look::default()
        })
    }

    /// Whether a version may be the default: it grants no administration; of the policy that denies,
    /// it denies everything.
    async fn is_harmless(&self, policy: &Arn, version: &str) -> Result<bool, Failure> {
        let document = self.iam.version(policy, version).await?;
        let document = document.as_deref().and_then(Document::read);
        Ok(document.is_some_and(|document| {
            if policy == self.tiers.deny_policy() {
                document.denies_everything()
            } else {
                document.administration().is_none()
            }
        }))
    }

    async fn look_keys<'a>(
        &self,
        user: &'a UserArn,
        since: Timestamp,
    ) -> Result<Look<'a>, Failure> {
        let since = since.as_second() - CLOCKS_APART;
        let mut keys = self.iam.keys(user).await?;
        keys.retain(|key| key.created >= since);
        let parts: Vec<_> = keys
            .into_iter()
            .map(|key| Part {
                mechanism: key.mechanism(),
                original: json!({"status": key.status.as_str()}),
                step: if key.is_active() {
                    let done = format!("turned off: {key}");
                    let status = StatusType::Inactive;
                    Step::change(Change::SetKey { user, key, status }, done)
                } else {
                    Step::found(format!("already off: {key}"))
                },
            })
            .collect();
        if parts.is_empty() {
            return Ok(Look::nothing("none was made since".to_owned()));
        }
        Ok(Look {
            found: true,
            parts,
            ..Look::default()
        })
    }

    async fn look_trust<'a>(&self, grant: &Grant, role: &'a RoleArn) -> Result<Look<'a>, Failure> {
        let trust = self.iam.trust(role).await?;
        let (name, account) = (role.name(), self.tiers.account());
        let check = format!(
            "see whom role {name} lets in: aws iam get-role --role-name {name}; and write the trust \
             it should have: aws iam update-assume-role-policy --role-name {name} \
             --policy-document <the trust>"
        );
        let Some(document) = Document::read(&trust) else {
            return Ok(Look {
                found: true,
                states: vec!["left as it is: it cannot be read".to_owned()],
                left: vec![check],
                ..Look::default()
            });
        };
        let outsiders = document.outsiders(account);
        if outsiders.is_empty() {
            let step = Step::found("it lets in no outsider");
            let mut look = Look::part(grant, json!({"trust": null}), step);
            look.unexplained.push(check);
            return Ok(look);
        }
        let outsiders = cut(&outsiders.join(", "), LONGEST_NAMES);
        let nobody = document.without_outsiders(account).is_none();
        let change = Change::SetTrust {
            role,
            document: closed(&document, account),
        };
        let done = if nobody {
            format!("closed to {outsiders}, and so to everybody")
        } else {
            format!("closed to {outsiders}")
        };
        // A role that was made for outsiders is nobody's.
        let check = (nobody && matches!(grant, Grant::Trust { .. })).then_some(check);
        let step = Step::change(change, done).then(check);
        Ok(Look::part(grant, json!({"trust": trust}), step))
    }

    async fn look_boundary<'a>(&self, principal: &Principal) -> Result<Look<'a>, Failure> {
        let (kind, actor) = match principal.clone() {
            Principal::User(arn) => ("user", Actor::IamUser { arn }),
            Principal::Role(arn) => ("role", Actor::Role { arn, session: None }),
        };
        if let Some(boundary) = self.iam.boundary(&actor).await? {
            return Ok(Look::nothing(format!("it is {boundary}")));
        }
        let name = principal.name();
        let region = match principal.arn().partition() {
            "aws-cn" => "cn-north-1",
            "aws-us-gov" => "us-gov-west-1",
            _ => "us-east-1",
        };
        Ok(Look {
            found: true,
            states: vec!["there is none, and which it was IAM does not say".to_owned()],
            left: vec![format!(
                "{kind} {name} needs its boundary back: aws iam put-{kind}-permissions-boundary \
                 --{kind}-name {name} --permissions-boundary <the one it had>, as the last event says \
                 that set it: aws cloudtrail lookup-events --region {region} --lookup-attributes \
                 AttributeKey=ResourceName,AttributeValue={name}"
            )],
            ..Look::default()
        })
    }
}

fn id(version: &PolicyVersion) -> &str {
    version.version_id.as_deref().unwrap_or_default()
}

/// When it was made, in seconds since 1970.
fn made(version: &PolicyVersion) -> i64 {
    version.create_date.map_or(i64::MAX, |made| made.secs())
}

/// Versions made in the same second are told apart by their number.
fn number(version: &PolicyVersion) -> u32 {
    let number = id(version).trim_start_matches('v');
    number.parse().unwrap_or_default()
}
