//! What a judgement asks the account.

use std::time::Duration;

use aws_sdk_iam::types::AttachedPolicy;
use iam_policy::{Document, Known, managed};
use incident::{Actor, Arn, GroupArn, Recorded};
use judgement::{Answer, Asked, Fact, Facts, GroupPolicies, PolicyVersion};
use ledger::Part;
use principal::{DENIAL, Principal};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use worker::Failure;

use crate::AssessEvent;

/// An event that asks for more than can be read by then is judged without it.
const LONGEST: Duration = Duration::from_secs(12);

/// A group with more policies is not read to the end: it may have as many inline ones as fit.
const MOST_POLICIES: usize = 30;

impl AssessEvent {
    pub(crate) async fn facts(&self, event: &Value) -> Facts {
        let asked = Asked::by(event, &self.watch);
        let policy = asked.policy.as_ref().map(|it| Box::pin(self.document(it)));
        let group = asked
            .group
            .as_ref()
            .map(|it| Box::pin(self.policies_of(it)));
        let actor = asked.actor.as_ref().map(|it| Box::pin(self.is_held(it)));
        let subject = asked.subject.as_ref().map(|it| Box::pin(self.is_held(it)));
        let (trail, archive, policy, group, actor_is_held, subject_is_held) = tokio::join!(
            self.fact(asked.trail, Part::Trail),
            self.fact(asked.archive, Part::Archive),
            answer("policy", policy),
            answer("group", group),
            answer("hold on the actor", actor),
            answer("hold on whom it is about", subject),
        );
        Facts {
            trail,
            archive,
            policy,
            group,
            actor_is_held,
            subject_is_held,
        }
    }

    async fn fact<T: DeserializeOwned>(&self, asked: bool, part: Part) -> Fact<T> {
        let (true, Some(trail)) = (asked, &self.watch.trail) else {
            return Fact::Unrecorded;
        };
        let recorded: Result<Option<Recorded<T>>, _> = self.ledger.recorded(trail, part).await;
        match recorded {
            Ok(Some(recorded)) => Fact::Recorded(Box::new(recorded)),
            Ok(None) => Fact::Unrecorded,
            Err(failure) => {
                tracing::warn!(failure = failure.name(), "the baseline cannot be read");
                Fact::Unreadable
            }
        }
    }

    /// The document of a managed policy; none when there is no such policy or version.
    async fn document(&self, asked: &PolicyVersion) -> Result<Option<Document>, Failure> {
        let policy = &asked.policy;
        let version = match &asked.version {
            Some(version) => Some(version.to_string()),
            None => none_if_gone(self.default_version(policy).await)?,
        };
        match version {
            Some(version) => none_if_gone(self.version(policy, &version).await),
            None => Ok(None),
        }
    }

    async fn default_version(&self, policy: &Arn) -> Result<String, Failure> {
        let found = self.iam.get_policy().policy_arn(policy.as_str()).send();
        let found = found
            .await
            .map_err(|error| Failure::aws("iam:GetPolicy", &error))?;
        let version = found.policy.and_then(|policy| policy.default_version_id);
        version.ok_or_else(|| unreadable("iam:GetPolicy"))
    }

    async fn version(&self, policy: &Arn, version: &str) -> Result<Document, Failure> {
        let call = self.iam.get_policy_version();
        let found = call.policy_arn(policy.as_str()).version_id(version).send();
        let found = found
            .await
            .map_err(|error| Failure::aws("iam:GetPolicyVersion", &error))?;
        let document = found.policy_version.and_then(|version| version.document);
        document
            .and_then(|document| Document::read(&document))
            .ok_or_else(|| unreadable("iam:GetPolicyVersion"))
    }

    /// What a group has; none when there is no such group.
    async fn policies_of(&self, group: &GroupArn) -> Result<Option<GroupPolicies>, Failure> {
        let listed = tokio::try_join!(self.attached_to(group), self.inline_of(group));
        let Some((attached, names)) = none_if_gone(listed)? else {
            return Ok(None);
        };
        if attached.len() + names.len() > MOST_POLICIES {
            return Err(Failure::Rejected(format!(
                "the group has more than {MOST_POLICIES} policies"
            )));
        }
        let mut documents = Vec::new();
        for name in names {
            documents.extend(none_if_gone(self.inline(group, &name).await)?);
        }
        let unknown = attached.iter().filter(|policy| {
            managed(policy.as_str()) == Known::Unknown && *policy != self.watch.tiers.deny_policy()
        });
        for policy in unknown {
            let default = PolicyVersion {
                policy: policy.clone(),
                version: None,
            };
            documents.extend(self.document(&default).await?);
        }
        Ok(Some(GroupPolicies {
            attached,
            documents,
        }))
    }

    async fn attached_to(&self, group: &GroupArn) -> Result<Vec<Arn>, Failure> {
        const CALL: &str = "iam:ListAttachedGroupPolicies";
        let call = self.iam.list_attached_group_policies();
        let pages = call.group_name(group.name()).into_paginator();
        let attached: Result<Vec<AttachedPolicy>, _> = pages.items().send().try_collect().await;
        let attached = attached.map_err(|error| Failure::aws(CALL, &error))?;
        let arns = attached.into_iter().map(|policy| {
            let arn = policy.policy_arn.and_then(|arn| arn.parse().ok());
            arn.ok_or_else(|| unreadable(CALL))
        });
        arns.collect()
    }

    async fn inline_of(&self, group: &GroupArn) -> Result<Vec<String>, Failure> {
        let call = self.iam.list_group_policies();
        let pages = call.group_name(group.name()).into_paginator();
        let names: Result<_, _> = pages.items().send().try_collect().await;
        names.map_err(|error| Failure::aws("iam:ListGroupPolicies", &error))
    }

    async fn inline(&self, group: &GroupArn, name: &str) -> Result<Document, Failure> {
        let call = self.iam.get_group_policy();
        let found = call.group_name(group.name()).policy_name(name).send();
        let found = found
            .await
            .map_err(|error| Failure::aws("iam:GetGroupPolicy", &error))?;
        Document::read(&found.policy_document).ok_or_else(|| unreadable("iam:GetGroupPolicy"))
    }

    /// Whether an incident holds a principal, or the one session of it.
    async fn is_held(&self, actor: &Actor) -> Result<bool, Failure> {
        let Some(principal) = Principal::of(actor, &self.iam) else {
            return Ok(false);
        };
        let arn = principal.arn().as_str();
        if self.ledger.original(arn, DENIAL).await?.is_some() {
            return Ok(true);
        }
        let Actor::Role {
            session: Some(session),
            ..
        } = actor
        else {
            return Ok(false);
        };
        let Some(user_id) = &session.user_id else {
            return Ok(false);
        };
        let mechanism = format!("deny-session/{user_id}");
        Ok(self.ledger.original(arn, &mechanism).await?.is_some())
    }
}

/// What was asked, if anything was.
async fn answer<T>(
    what: &'static str,
    asked: Option<impl Future<Output = Result<T, Failure>>>,
) -> Answer<T> {
    let Some(asked) = asked else {
        return Answer::Unasked;
    };
    let failure = match timeout(LONGEST, asked).await {
        Ok(Ok(answer)) => return Answer::Is(answer),
        Ok(Err(failure)) => failure.name(),
        Err(_) => "too slow",
    };
    tracing::warn!(failure, what, "a fact cannot be read");
    Answer::Unreadable
}

fn none_if_gone<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Failure::TargetNotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn unreadable(call: &str) -> Failure {
    Failure::Rejected(format!("{call}: the answer cannot be read"))
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt::Debug, future::pending};

    use aws_sdk_dynamodb::{
        error::ErrorMetadata,
        operation::get_item::{GetItemError, GetItemOutput},
        types::AttributeValue,
    };
    use aws_sdk_iam::{
        Client,
        operation::{
            get_group_policy::GetGroupPolicyOutput, get_policy::GetPolicyOutput,
            get_policy_version::GetPolicyVersionOutput,
            list_attached_group_policies::ListAttachedGroupPoliciesOutput,
            list_group_policies::ListGroupPoliciesOutput,
        },
        types::{Policy, PolicyVersion as Version},
    };
    use aws_smithy_mocks::{Rule, RuleBuilder, mock};
    use serde_json::json;
    use worker::answer as run;

    use super::*;
    use crate::tests::asking;

    const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
    const TEAM: &str = "arn:aws:iam::123456789012:policy/team";
    const EVERYTHING: &str = "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C\
        %22Action%22%3A%22*%22%2C%22Resource%22%3A%22*%22%7D%7D";
    const READING: &str = "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C\
        %22Action%22%3A%22s3%3AGet*%22%2C%22Resource%22%3A%22*%22%7D%7D";

    fn user() -> Value {
        json!({"type": "IAMUser", "accountId": "123456789012",
            "arn": "arn:aws:iam::123456789012:user/eve"})
    }

    /// A session of a role that others share.
    fn shared() -> Value {
        json!({"type": "AssumedRole", "principalId": "AROAEXAMPLE:run",
            "sessionContext": {"sessionIssuer": {
                "type": "Role", "arn": "arn:aws:iam::123456789012:role/admin"}}})
    }

    fn event(name: &str, request: Value, by: Value) -> Value {
        json!({ "event": {
            "id": "11111111-2222-3333-4444-555555555555",
            "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.iam",
            "account": "123456789012",
            "time": "2026-11-25T03:12:44Z",
            "region": "us-east-1",
            "detail": {
                "userIdentity": by,
                "eventTime": "2026-11-25T03:12:40Z",
                "eventSource": "iam.amazonaws.com",
                "eventName": name,
                "awsRegion": "us-east-1",
                "requestParameters": request,
                "eventID": "9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77",
                "recipientAccountId": "123456789012",
            },
        }})
    }

    fn attached_to_user() -> Value {
        event(
            "AttachUserPolicy",
            json!({"userName": "mallory", "policyArn": TEAM}),
            user(),
        )
    }

    fn made_default() -> Value {
        event(
            "SetDefaultPolicyVersion",
            json!({"policyArn": TEAM, "versionId": "v1"}),
            user(),
        )
    }

    fn put_into_group() -> Value {
        event(
            "AddUserToGroup",
            json!({"userName": "mallory", "groupName": "staff"}),
            user(),
        )
    }

    /// The verdict, when IAM answers so and nobody is contained.
    async fn told(event: &Value, iam: &[&Rule]) -> String {
        let nobody = no_hold();
        told_with(event, &[&nobody], iam).await
    }

    async fn told_with(event: &Value, ledger: &[&Rule], iam: &[&Rule]) -> String {
        let verdict = run(&asking(ledger, iam), event).await.unwrap();
        format!("{}: {}", verdict["verdict"], verdict["reason"]).replace('"', "")
    }

    fn default_is(version: &'static str) -> Rule {
        mock!(Client::get_policy)
            .match_requests(|request| request.policy_arn() == Some(TEAM))
            .then_output(move || {
                let policy = Policy::builder().default_version_id(version).build();
                GetPolicyOutput::builder().policy(policy).build()
            })
    }

    fn version_is(version: &'static str, document: &'static str) -> Rule {
        mock!(Client::get_policy_version)
            .match_requests(move |request| {
                request.policy_arn() == Some(TEAM) && request.version_id() == Some(version)
            })
            .then_output(move || {
                let version = Version::builder().document(document).build();
                GetPolicyVersionOutput::builder()
                    .policy_version(version)
                    .build()
            })
    }

    fn attached(policies: Vec<&'static str>) -> Rule {
        mock!(Client::list_attached_group_policies)
            .match_requests(|request| request.group_name() == Some("staff"))
            .then_output(move || {
                let policies = policies
                    .iter()
                    .map(|arn| AttachedPolicy::builder().policy_arn(*arn).build());
                ListAttachedGroupPoliciesOutput::builder()
                    .set_attached_policies(Some(policies.collect()))
                    .build()
            })
    }

    fn inline(names: Vec<String>) -> Rule {
        mock!(Client::list_group_policies).then_output(move || {
            ListGroupPoliciesOutput::builder()
                .set_policy_names(Some(names.clone()))
                .build()
                .unwrap()
        })
    }

    fn inline_is(document: &'static str) -> Rule {
        mock!(Client::get_group_policy)
            .match_requests(|request| request.group_name() == Some("staff"))
            .then_output(move || {
                GetGroupPolicyOutput::builder()
                    .group_name("staff")
                    .policy_name("p")
                    .policy_document(document)
                    .build()
                    .unwrap()
            })
    }

    /// IAM's refusal of one call.
    fn refuses<I, O, E>(call: RuleBuilder<I, O, E>, code: &str) -> Rule
    where
        I: Debug + Send + Sync + 'static,
        O: Debug + Send + Sync + 'static,
        E: Debug + Send + Sync + Error + 'static,
    {
        let body = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>as IAM says</Message></Error></ErrorResponse>"
        );
        call.sequence().http_status(400, Some(body)).build()
    }

    /// A ledger in which a hold has this mechanism, and no other.
    fn hold(resource: &'static str, mechanism: &'static str) -> Rule {
        mock!(aws_sdk_dynamodb::Client::get_item).then_compute_output(move |request| {
            let is = |name: &str, text: String| {
                let key = request.key().and_then(|key| key.get(name));
                key == Some(&AttributeValue::S(text))
            };
            let found = is("pk", format!("hold#{resource}")) && is("sk", mechanism.to_owned());
            let item = GetItemOutput::builder();
            let original = found.then(|| AttributeValue::S("{}".to_owned()));
            let item = original
                .into_iter()
                .fold(item, |item, original| item.item("original", original));
            item.build()
        })
    }

    fn no_hold() -> Rule {
        hold("nobody", DENIAL)
    }

    #[tokio::test]
    async fn an_attached_policy_is_judged_by_its_default_version() {
        let default = default_is("v3");
        let version = version_is("v3", EVERYTHING);
        assert_eq!(
            told(&attached_to_user(), &[&default, &version]).await,
            "respond: policy arn:aws:iam::123456789012:policy/team, which grants every action on \
             every resource, was attached to arn:aws:iam::123456789012:user/mallory by IAM user eve"
        );
        let (default, version) = (default_is("v3"), version_is("v3", READING));
        assert_eq!(
            told(&attached_to_user(), &[&default, &version]).await,
            "ignore: the policy grants no administration"
        );
    }

    #[tokio::test]
    async fn a_new_default_is_read_and_not_the_one_that_is_there_by_now() {
        let default = default_is("v3");
        let version = version_is("v1", EVERYTHING);
        let told = told(&made_default(), &[&default, &version]).await;
        assert!(told.starts_with("respond: version v1"), "{told}");
        assert_eq!((default.num_calls(), version.num_calls()), (0, 1));
    }

    #[tokio::test]
    async fn a_policy_that_is_gone_is_told_to_a_human() {
        let gone = "escalate: policy arn:aws:iam::123456789012:policy/team attached to \
            arn:aws:iam::123456789012:user/mallory: there is no such policy any more \
            (AttachUserPolicy by IAM user eve)";
        let policy = refuses(mock!(Client::get_policy), "NoSuchEntity");
        assert_eq!(told(&attached_to_user(), &[&policy]).await, gone);
        let default = default_is("v3");
        let version = refuses(mock!(Client::get_policy_version), "NoSuchEntity");
        assert_eq!(told(&attached_to_user(), &[&default, &version]).await, gone);
    }

    #[tokio::test]
    async fn a_policy_that_cannot_be_read_is_told_to_a_human() {
        let unread = "what it grants could not be read";
        for code in [
            "Throttling",
            "AccessDenied",
            "InvalidInput",
            "ServiceFailure",
        ] {
            let policy = refuses(mock!(Client::get_policy), code);
            let told_of = told(&attached_to_user(), &[&policy]).await;
            assert!(
                told_of.starts_with("escalate") && told_of.contains(unread),
                "{told_of}"
            );
            let default = default_is("v3");
            let version = refuses(mock!(Client::get_policy_version), code);
            let told_of = told(&attached_to_user(), &[&default, &version]).await;
            assert!(
                told_of.starts_with("escalate") && told_of.contains(unread),
                "{told_of}"
            );
        }
        for document in ["", "%7B", "[]"] {
            let (default, version) = (default_is("v3"), version_is("v3", document));
            let told = told(&attached_to_user(), &[&default, &version]).await;
            assert!(
                told.starts_with("escalate") && told.contains(unread),
                "{told}"
            );
        }
        let empty = mock!(Client::get_policy).then_output(|| GetPolicyOutput::builder().build());
        let told = told(&attached_to_user(), &[&empty]).await;
        assert!(told.contains(unread), "{told}");
    }

    #[tokio::test]
    async fn a_group_is_judged_by_all_that_it_has() {
        let none = || inline(Vec::new());
        let (policies, names) = (attached(vec![ADMIN]), none());
        let by_name = told(&put_into_group(), &[&policies, &names]).await;

        let (policies, names) = (attached(Vec::new()), inline(vec!["p".to_owned()]));
        let document = inline_is(EVERYTHING);
        let by_inline = told(&put_into_group(), &[&policies, &names, &document]).await;

        let (policies, names) = (attached(vec![TEAM]), none());
        let (default, version) = (default_is("v3"), version_is("v3", EVERYTHING));
        let rules = [&policies, &names, &default, &version];
        let by_document = told(&put_into_group(), &rules).await;
        for told in [by_name, by_inline, by_document] {
            assert!(told.starts_with("respond"), "{told}");
        }

        let read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess";
        let (policies, names) = (attached(vec![read_only]), inline(vec!["p".to_owned()]));
        let document = inline_is(READING);
        assert_eq!(
            told(&put_into_group(), &[&policies, &names, &document]).await,
            "ignore: group staff has no administration"
        );
    }

    #[tokio::test]
    async fn what_of_a_group_went_meanwhile_is_left_out() {
        let (policies, names) = (attached(vec![TEAM]), inline(vec!["p".to_owned()]));
        let document = refuses(mock!(Client::get_group_policy), "NoSuchEntity");
        let policy = refuses(mock!(Client::get_policy), "NoSuchEntity");
        let rules = [&policies, &names, &document, &policy];
        assert_eq!(
            told(&put_into_group(), &rules).await,
            "ignore: group staff has no administration"
        );
        let gone = refuses(mock!(Client::list_attached_group_policies), "NoSuchEntity");
        let names = inline(Vec::new());
        let told = told(&put_into_group(), &[&gone, &names]).await;
        assert!(told.contains("there is no such group any more"), "{told}");
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_read_is_told_to_a_human() {
        let names = || inline(vec!["p".to_owned()]);
        for code in ["Throttling", "AccessDenied", "ServiceFailure"] {
            let (attached_fails, inline_names) = (
                refuses(mock!(Client::list_attached_group_policies), code),
                names(),
            );
            let first = told(&put_into_group(), &[&attached_fails, &inline_names]).await;
            let (policies, names_fail) = (
                attached(Vec::new()),
                refuses(mock!(Client::list_group_policies), code),
            );
            let second = told(&put_into_group(), &[&policies, &names_fail]).await;
            let (policies, inline_names) = (attached(Vec::new()), names());
            let inline_fails = refuses(mock!(Client::get_group_policy), code);
            let third = told(
                &put_into_group(),
                &[&policies, &inline_names, &inline_fails],
            )
            .await;
            for told in [first, second, third] {
                assert!(
                    told.contains("what the group has could not be read"),
                    "{told}"
                );
            }
        }
        let many = (0..=MOST_POLICIES).map(|number| format!("p{number}"));
        let (policies, names) = (attached(Vec::new()), inline(many.collect()));
        let document = inline_is(READING);
        let told = told(&put_into_group(), &[&policies, &names, &document]).await;
        assert!(
            told.contains("what the group has could not be read"),
            "{told}"
        );
        assert_eq!(document.num_calls(), 0);
    }

    #[tokio::test]
    async fn what_a_contained_principal_makes_is_answered() {
        let made = |by| event("CreateUser", json!({"userName": "back"}), by);
        let eve = hold("arn:aws:iam::123456789012:user/eve", DENIAL);
        let role = hold("arn:aws:iam::123456789012:role/admin", DENIAL);
        let session = hold(
            "arn:aws:iam::123456789012:role/admin",
            "deny-session/AROAEXAMPLE:run",
        );
        for (by, ledger, verdict) in [
            (user(), &eve, "respond"),
            (shared(), &role, "respond"),
            (shared(), &session, "respond"),
            (user(), &role, "ignore"),
            (shared(), &eve, "ignore"),
        ] {
            let told = told_with(&made(by.clone()), &[ledger], &[]).await;
            assert!(told.starts_with(verdict), "{by}: {told}");
        }
    }

    #[tokio::test]
    async fn a_deny_is_taken_off_whoever_is_contained() {
        let key = json!({"userName": "mallory", "status": "Active"});
        let mallory = hold("arn:aws:iam::123456789012:user/mallory", DENIAL);
        let on = event("UpdateAccessKey", key, user());
        assert!(
            told_with(&on, &[&mallory], &[])
                .await
                .starts_with("respond")
        );
        assert!(told(&on, &[]).await.starts_with("ignore"));
    }

    #[tokio::test]
    async fn a_ledger_that_cannot_be_read_is_told_to_a_human() {
        for code in ["AccessDeniedException", "ThrottlingException"] {
            let refused = mock!(aws_sdk_dynamodb::Client::get_item).then_error(move || {
                GetItemError::generic(ErrorMetadata::builder().code(code).build())
            });
            let made = event("CreateUser", json!({"userName": "back"}), user());
            assert_eq!(
                told_with(&made, &[&refused], &[]).await,
                "escalate: whether CreateUser was called by a contained principal could not be read \
                 (CreateUser by IAM user eve)"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_asked_is_not_read() {
        let (ledger, policy) = (no_hold(), default_is("v3"));
        let mut failed = attached_to_user();
        failed["event"]["detail"]["errorCode"] = json!("AccessDenied");
        let by_root = json!({"type": "Root", "accountId": "123456789012"});
        let by_name = json!({"userName": "mallory", "policyArn": ADMIN});
        for event in [failed, event("AttachUserPolicy", by_name, by_root)] {
            told_with(&event, &[&ledger], &[&policy]).await;
        }
        assert_eq!((ledger.num_calls(), policy.num_calls()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_not_waited_for() {
        let never = pending::<Result<bool, Failure>>();
        assert_eq!(answer("policy", Some(never)).await, Answer::Unreadable);
    }
}
