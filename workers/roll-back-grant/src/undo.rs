//! Giving back what was taken.

use aws_sdk_iam::types::StatusType;
use iam_policy::Document;
use incident::{Arn, Grant, Grantee, RoleArn, UserArn};
use ledger::{Done, Release};
use serde_json::Value;
use worker::Failure;

use crate::{
    Input, RollBackGrant,
    change::Change,
    grant::{Subject, mechanism},
    iam::Key,
    report::{Report, Step},
    trust::{closed, same},
};

/// What is held of a grant: a key of its user, or all of it.
struct Held {
    mechanism: String,
    key: Option<Key>,
}

impl RollBackGrant {
    pub(crate) async fn give_back(&self, input: &Input) -> Result<Done, Failure> {
        let undo = self
            .ledger
            .undo_for(&input.incident_id, &input.holds, input.dry_run);
        let resource = Subject::of(&input.grant).resource();
        let mut report = Report::of(input);
        for held in self.held(&input.grant).await? {
            let released = undo.release(&resource, &held.mechanism).await;
            let step = match released {
                Ok(Release::NotHeld) => continue,
                Ok(Release::StillHeld) => {
                    let stays = held.stays();
                    report.found(vec![format!("{stays}, held by another incident")]);
                    continue;
                }
                Ok(Release::Last(original)) => self.restore(input, &held, &original).await,
                Err(failure) => Err(failure),
            };
            let step = match step {
                Ok(step) => step,
                Err(failure) => {
                    report.fail(failure);
                    continue;
                }
            };
            // Whoever may invoke this worker must not grant with it.
            if !input.holds.is_empty()
                && let Some(call) = step.privilege()
            {
                report.leave([format!("give it back by hand: {call}")]);
            } else if report.make(step, &self.iam).await
                && let Err(failure) = undo.forget(&resource, &held.mechanism).await
            {
                report.fail(failure);
            }
        }
        report.end(Vec::new())
    }

    /// Everything that an incident may hold of a grant.
    async fn held(&self, grant: &Grant) -> Result<Vec<Held>, Failure> {
        let Grant::AccessKey { user } = grant else {
            let whole = mechanism(grant).map(|mechanism| Held {
                mechanism,
                key: None,
            });
            return Ok(whole.into_iter().collect());
        };
        let keys = match self.iam.keys(user).await {
            Err(Failure::TargetNotFound(_)) => Vec::new(),
            keys => keys?,
        };
        let held = keys.into_iter().map(|key| Held {
            mechanism: key.mechanism(),
            key: Some(key),
        });
        Ok(held.collect())
    }

    /// How the state before comes back. What no longer exists counts as undone; what somebody
    /// changed since stays.
    async fn restore<'a>(
        &self,
        input: &'a Input,
        held: &Held,
        original: &Value,
    ) -> Result<Step<'a>, Failure> {
        let step = match (&input.grant, &held.key) {
            (Grant::AccessKey { user }, Some(key)) => restore_key(user, key, original),
            (grant, _) => self.restore_whole(grant, original).await,
        };
        match step {
            Err(Failure::TargetNotFound(why)) => Ok(Step::found(format!("gone with it ({why})"))),
            step => step,
        }
    }

    async fn restore_whole<'a>(
        &self,
        grant: &'a Grant,
        original: &Value,
    ) -> Result<Step<'a>, Failure> {
        match grant {
            Grant::AttachedPolicy { grantee, policy } => {
                let holder = self.iam.holder(grantee)?;
                Ok(if !flag(original, "attached")? {
                    Step::found("it was not attached")
                } else if holder.has(policy).await? {
                    Step::found("attached already")
                } else if self.iam.has_policy(policy).await? {
                    Step::change(Change::Attach(holder, policy), "attached again")
                } else {
                    Step::found("the policy is gone")
                })
            }
            Grant::InlinePolicy { grantee, name } => {
                self.restore_inline(grantee, name.as_str(), original).await
            }
            Grant::PolicyVersion { policy, .. } => self.restore_version(policy, original).await,
            Grant::Membership { user, group } => Ok(if !flag(original, "member")? {
                Step::found("it was no member")
            } else if self.iam.is_member(user, group.name()).await? {
                Step::found("a member already")
            } else {
                Step::change(Change::AddToGroup(user, group), "put in again")
            }),
            Grant::LoginProfile { user } => Ok(if !flag(original, "existed")? {
                Step::found("there was none")
            } else if self.iam.has_password(user).await? {
                Step::found("there is one again")
            } else {
                Step::found("what it was is not known").then(Some(format!(
                    "give the user a new one: aws iam create-login-profile --user-name {} \
                     --password-reset-required --password <a new one>",
                    user.name()
                )))
            }),
            Grant::Trust { role } | Grant::Role { role } => {
                self.restore_trust(role, original).await
            }
            Grant::AccessKey { .. } | Grant::Boundary { .. } => Err(unsaid()),
        }
    }

    async fn restore_inline<'a>(
        &self,
        grantee: &Grantee,
        name: &'a str,
        original: &Value,
    ) -> Result<Step<'a>, Failure> {
        let Some(document) = text(original, "document")? else {
            return Ok(Step::found("there was none"));
        };
        let holder = self.iam.holder(grantee)?;
        Ok(match holder.inline(name).await? {
            Some(now) if now == document => Step::found("as it was already"),
            Some(_) => Step::found("written by somebody since, it stays"),
            None => {
                let document = document.to_owned();
                let put = Change::PutInline {
                    holder,
                    name,
                    document,
                };
                Step::change(put, "written again")
            }
        })
    }

    async fn restore_version<'a>(
        &self,
        policy: &'a Arn,
        original: &Value,
    ) -> Result<Step<'a>, Failure> {
        let Some(before) = text(original, "default")? else {
            return Ok(Step::found("it was not changed"));
        };
        if policy == self.tiers.deny_policy() {
            return Ok(Step::found("it stays as it is: it denies everything"));
        }
        let ours = text(original, "rolledBackTo")?.ok_or_else(unsaid)?;
        let versions = self.iam.versions(policy).await?;
        let find = |id| versions.iter().find(|one| one.version_id() == Some(id));
        let is_default = |id| find(id).is_some_and(|one| one.is_default_version);
        Ok(if is_default(before) {
            Step::found("as it was already")
        } else if !is_default(ours) {
            Step::found("the default was changed by somebody since, it stays")
        } else if find(before).is_none() {
            Step::found(format!("{before} is gone"))
        } else {
            let version = before.to_owned();
            let done = format!("set from {ours} to {before} again");
            Step::change(Change::SetDefault { policy, version }, done)
        })
    }

    async fn restore_trust<'a>(
        &self,
        role: &'a RoleArn,
        original: &Value,
    ) -> Result<Step<'a>, Failure> {
        let Some(trust) = text(original, "trust")? else {
            return Ok(Step::found("it was not changed"));
        };
        let document = Document::read(trust).ok_or_else(unsaid)?;
        let now = self.iam.trust(role).await?;
        Ok(if same(&now, trust) {
            Step::found("as it was already")
        } else if same(&now, &closed(&document, self.tiers.account())) {
            let document = trust.to_owned();
            Step::change(
                Change::SetTrust { role, document },
                "written again as it was",
            )
        } else {
            Step::found("changed by somebody since, it stays")
        })
    }
}

fn restore_key<'a>(user: &'a UserArn, key: &Key, original: &Value) -> Result<Step<'a>, Failure> {
    let was = text(original, "status")?.ok_or_else(unsaid)?;
    if was != StatusType::Active.as_str() || key.is_active() {
        return Ok(Step::found(format!("left as it is: {key}")));
    }
    let turn_on = Change::SetKey {
        user,
        key: key.clone(),
        status: StatusType::Active,
    };
    Ok(Step::change(turn_on, format!("turned on: {key}")))
}

fn flag(original: &Value, name: &str) -> Result<bool, Failure> {
    original[name].as_bool().ok_or_else(unsaid)
}

/// None where the original says that there was nothing.
fn text<'o>(original: &'o Value, name: &str) -> Result<Option<&'o str>, Failure> {
    match original.get(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) => Ok(None),
        _ => Err(unsaid()),
    }
}

/// No licence to guess.
fn unsaid() -> Failure {
    Failure::Rejected("the hold does not say what to give back".to_owned())
}

impl Held {
    fn stays(&self) -> String {
        match &self.key {
            Some(key) => format!("{key} stays"),
            None => "stays".to_owned(),
        }
    }
}
