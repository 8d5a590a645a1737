//! What a judgement needs to know beside the event: what an operator recorded, and what the account
//! answers.

use iam_policy::Document;
use incident::{Actor, ApiCall, Arn, GroupArn, Recorded, Text};
use log_archive::Archive;
use serde_json::Value;
use trail::Trail;

use crate::{Watch, call::Effect, denial, iam::IamCall, privilege, rotation};

/// What is known beside the event and the configuration; by default nothing is.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What the trail should be.
    pub trail: Fact<Trail>,
    /// What its log archive should be.
    pub archive: Fact<Archive>,
    /// The document of the managed policy that the call is about; none when there is no such policy.
    pub policy: Answer<Option<Document>>,
    /// What the group that the call is about has; none when there is no such group.
    pub group: Answer<Option<GroupPolicies>>,
    /// Whether the actor is contained already.
    pub actor_is_held: Answer<bool>,
    /// Whether the user or role that the call is about is contained already.
    pub subject_is_held: Answer<bool>,
}

/// The policies of a group.
#[derive(Debug, Clone, Default)]
pub struct GroupPolicies {
    /// The managed policies.
    pub attached: Vec<Arn>,
    /// The inline policies, and the managed ones of which the name does not tell what they grant.
    pub documents: Vec<Document>,
}

/// Something that the account was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answer<T> {
    /// It answered.
    Is(T),
    /// There is no account to ask.
    #[default]
    Unasked,
    /// The answer cannot be read.
    Unreadable,
}

/// Something that may have been recorded.
#[derive(Debug, Clone, Default)]
pub enum Fact<T> {
    /// It was.
    Recorded(Box<Recorded<T>>),
    /// It was not, or there is no account to ask.
    #[default]
    Unrecorded,
    /// It may have been, and cannot be read.
    Unreadable,
}

impl<T> Fact<T> {
    /// What it may be: as in the baseline, and as intended; nothing where it is not known.
    pub(crate) fn allowed(&self) -> impl Iterator<Item = &T> {
        let recorded = match self {
            Self::Recorded(recorded) => Some(recorded),
            Self::Unrecorded | Self::Unreadable => None,
        };
        recorded
            .into_iter()
            .flat_map(|recorded| [Some(&recorded.baseline), recorded.intended.as_ref()])
            .flatten()
    }

    /// What by its value does no harm. Where a baseline may say otherwise and cannot be read, a human
    /// has to look.
    pub(crate) fn harmless(&self, why: &str) -> Effect {
        match self {
            Self::Recorded(_) => Effect::Harmless(why.to_owned()),
            Self::Unrecorded => Effect::Harmless(format!("{why} (no baseline to compare with)")),
            Self::Unreadable => Effect::Unclear(format!(
                "{why}, but the baseline could not be read to compare"
            )),
        }
    }

    pub(crate) fn is_recorded(&self) -> bool {
        matches!(self, Self::Recorded(_))
    }
}

/// Which facts [`judge`](crate::judge()) uses for an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Those of the trail.
    pub trail: bool,
    /// Those of its log archive.
    pub archive: bool,
    /// The document of this managed policy.
    pub policy: Option<PolicyVersion>,
    /// The policies of this group.
    pub group: Option<GroupArn>,
    /// Whether this actor is contained.
    pub actor: Option<Actor>,
    /// Whether this user or role is contained.
    pub subject: Option<Actor>,
}

/// A version of a managed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// The policy.
    pub policy: Arn,
    /// The version; the default one when none is given.
    pub version: Option<Text<16>>,
}

impl Asked {
    /// Those that the judgement of `event` uses; for most events none. A call that failed changed
    /// nothing, so that nothing is asked about it.
    #[must_use]
    pub fn by(event: &Value, watch: &Watch) -> Self {
        let detail = &event["detail"];
        let name = detail["eventName"].as_str().unwrap_or_default();
        let asked = Self {
            trail: matches!(
                name,
                "UpdateTrail" | "PutEventSelectors" | "PutInsightSelectors"
            ),
            archive: matches!(
                name,
                "DeleteBucketPolicy"
                    | "PutBucketPolicy"
                    | "PutBucketLifecycle"
                    | "PutBucketVersioning"
                    | "PutBucketEncryption"
                    | "DeleteBucketEncryption"
                    | "PutKeyPolicy"
                    | "PutRetentionPolicy"
            ),
            ..Self::default()
        };
        match ApiCall::read(event) {
            Ok(call) if call.error.is_none() && call.account == watch.tiers.account() => {
                let iam = IamCall::of(&call, detail, watch);
                Self {
                    policy: privilege::policy_of(&iam),
                    group: iam.is_about_membership().then(|| iam.group()).flatten(),
                    actor: rotation::concerns(&iam).then(|| call.actor.clone()),
                    subject: denial::subject_of(&iam),
                    ..asked
                }
            }
            _ => asked,
        }
    }
}

impl Facts {
    /// What `stated` says of what is asked, where there is no account that would answer: `groups` are
    /// lists of policies by name, `policies` are documents by ARN, and `contained` are ARNs of users
    /// and roles. In a list, a policy is an ARN or an inline document.
    #[must_use]
    pub fn stated(asked: &Asked, stated: &Value) -> Self {
        let policy = asked.policy.as_ref().and_then(|policy| {
            let document = stated["policies"].get(policy.policy.as_str())?;
            Some(Answer::Is(Document::parse(document)))
        });
        let group = asked.group.as_ref().and_then(|group| {
            let policies = stated["groups"].get(group.name())?.as_array()?;
            let attached = policies.iter().filter_map(|it| it.as_str()?.parse().ok());
            let documents = policies.iter().filter(|it| it.is_object());
            Some(Answer::Is(Some(GroupPolicies {
                attached: attached.collect(),
                documents: documents.filter_map(Document::parse).collect(),
            })))
        });
        let held = |actor: &Option<Actor>| {
            let principal = actor.as_ref().and_then(Actor::principal);
            match (principal, stated["contained"].as_array()) {
                (Some(principal), Some(contained)) => {
                    let mut arns = contained.iter().filter_map(Value::as_str);
                    Answer::Is(arns.any(|arn| arn == principal.arn().as_str()))
                }
                _ => Answer::Unasked,
            }
        };
        Self {
            policy: policy.unwrap_or_default(),
            group: group.unwrap_or_default(),
            actor_is_held: held(&asked.actor),
            subject_is_held: held(&asked.subject),
            ..Self::default()
        }
    }
}
