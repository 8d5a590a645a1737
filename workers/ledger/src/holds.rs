//! What a principal or resource was before we changed it, and which incidents hold it changed.

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{AttributeValue, ReturnValue},
};
use incident::IncidentId;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use worker::Failure;

use crate::{
    Ledger,
    item::{Item, condition_failed, json_of, key, text},
};

/// The most that the ledger keeps of one original, in bytes of JSON: a DynamoDB item holds 400 KB.
const LARGEST_KEPT: usize = 200 * 1024;

/// The most that one answer hands over of all originals, in bytes of JSON: Step Functions carries
/// 256 KiB between two states, and several workers answer side by side.
const MOST_HANDED: usize = 32 * 1024;

/// What is never too large: the mark in its place would not be smaller.
const SMALL: usize = 1024;

/// The field by which a mark is known.
const TOO_LARGE: &str = "tooLarge";

/// One change to one principal or resource, by one mechanism, and the state before it.
///
/// A worker puts it in the ledger before it acts, and takes it as payload to undo an act that the
/// ledger does not know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// The ARN of what was changed.
    pub resource: String,
    /// How it was changed; with the resource it is the hold's identity.
    pub mechanism: String,
    /// The state before the first change; where that is too large to keep, a mark instead, which
    /// [`Hold::too_large`] reads.
    pub original: Value,
}

impl Hold {
    /// What to tell people of an original that was too large to keep; none of one that was kept.
    #[must_use]
    pub fn too_large(original: &Value) -> Option<String> {
        let mark = original.get(TOO_LARGE)?;
        let was = mark["was"].as_str().unwrap_or("what was there");
        let (bytes, digest) = (&mark["bytes"], mark["sha256"].as_str().unwrap_or_default());
        Some(format!(
            "{was} before was too large to keep ({bytes} bytes of JSON, SHA-256 {digest}): only \
             CloudTrail's record of the call that set it has it"
        ))
    }

    /// This hold, with a mark instead of an original of more than `most` bytes.
    fn within(self, most: usize) -> Self {
        let json = self.original.to_string();
        if json.len() <= most.max(SMALL) || Self::too_large(&self.original).is_some() {
            return self;
        }
        let digest = Sha256::digest(&json)
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        // What follows the slash may be a key's id.
        let mechanism = self.mechanism.split('/').next().unwrap_or_default();
        let was = format!("{mechanism} of {}", self.resource);
        let mark = json!({"was": was, "bytes": json.len(), "sha256": digest});
        Self {
            original: json!({TOO_LARGE: mark}),
            ..self
        }
    }
}

/// What a worker answers that changed a principal or resource, or found it changed already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Done {
    /// Whether anything is different now; false for "already so" and for a dry run.
    pub changed: bool,
    /// What was done, or would be, in one sentence for people.
    pub summary: String,
    /// The holds that the ledger could not record: what an undo needs. Empty when all is recorded.
    #[serde(default)]
    pub undo: Vec<Hold>,
    /// What is left for a human, one line each: the run ends red while there is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

impl Done {
    /// The answer of a run of which `failures` were parts, or the failure that speaks for them, with
    /// the summary, all of them and `also` as its message.
    ///
    /// Where the ledger does not know the state before, it is an answer all the same: it carries that
    /// state, which a retry could not find out any more. Of what is too large to carry the summary
    /// says so.
    ///
    /// # Errors
    /// The worst of `failures`, when there is any and the ledger knows every hold.
    pub fn unless(mut self, mut failures: Vec<Failure>, also: &str) -> Result<Self, Failure> {
        for told in self
            .undo
            .iter()
            .filter_map(|hold| Hold::too_large(&hold.original))
        {
            self.summary = format!("{}; {told}", self.summary);
        }
        // Parts of one call are mostly refused alike.
        failures.dedup();
        let all: Vec<_> = failures.iter().map(ToString::to_string).collect();
        match Failure::worst(failures) {
            Some(worst) if self.undo.is_empty() => {
                let summary = self.summary;
                Err(worst.rephrase(|_| format!("{summary}; failed: {}{also}", all.join("; "))))
            }
            _ => {
                self.left.extend(all);
                Ok(self)
            }
        }
    }
}

/// What letting go of a hold means for the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// This incident does not hold it: there is nothing to undo.
    NotHeld,
    /// Other incidents still hold it: it stays as it is.
    StillHeld,
    /// This incident is the last: put the original back, then [`Ledger::forget`] the hold.
    Last(Value),
}

impl Ledger {
    /// Holds a resource for `incident`. The first writer's original stands, whoever comes later;
    /// it is returned. One that is too large is kept as a mark, which [`Hold::too_large`] reads. One
    /// atomic write, safe to repeat.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn hold(
        &self,
        incident: &IncidentId,
        hold: &Hold,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let kept = hold.clone().within(LARGEST_KEPT).original;
        let stands = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(hold_key(&hold.resource, &hold.mechanism)))
            .update_expression(
                "SET original = if_not_exists(original, :original), \
                 heldSince = if_not_exists(heldSince, :now) ADD incidents :incident",
            )
            .expression_attribute_values(":original", text(kept.to_string()))
            .expression_attribute_values(":now", text(now.to_string()))
            .expression_attribute_values(":incident", only(incident))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| Failure::aws("dynamodb:UpdateItem", &error))?;
        json_of(&stands.attributes.unwrap_or_default(), "original")
    }

    /// The original state that a hold keeps; none when nobody holds the resource by `mechanism`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn original(
        &self,
        resource: &str,
        mechanism: &str,
    ) -> Result<Option<Value>, Failure> {
        match self.get(&pk(resource), mechanism).await? {
            Some(item) => json_of(&item, "original").map(Some),
            None => Ok(None),
        }
    }

    /// Whether incidents other than `incident` hold a resource.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn is_held_by_others(
        &self,
        incident: &IncidentId,
        resource: &str,
        mechanism: &str,
    ) -> Result<bool, Failure> {
        let item = self.get(&pk(resource), mechanism).await?;
        Ok(item.is_some_and(|item| {
            holders_of(&item)
                .iter()
                .any(|holder| holder != incident.as_str())
        }))
    }

    /// Lets go of a hold for `incident` only.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or another incident came or went meanwhile.
    pub async fn release(
        &self,
        incident: &IncidentId,
        resource: &str,
        mechanism: &str,
    ) -> Result<Release, Failure> {
        let key = hold_key(resource, mechanism);
        let Some(item) = self.get(&pk(resource), mechanism).await? else {
            return Ok(Release::NotHeld);
        };
        let holders = holders_of(&item);
        if !holders.iter().any(|holder| holder == incident.as_str()) {
            return Ok(Release::NotHeld);
        }
        if holders.len() == 1 {
            return json_of(&item, "original").map(Release::Last);
        }
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression("DELETE incidents :incident")
            .condition_expression("size(incidents) > :one AND contains(incidents, :id)")
            .expression_attribute_values(":incident", only(incident))
            .expression_attribute_values(":id", text(incident.as_str()))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .send()
            .await
            .map(|_| Release::StillHeld)
            .map_err(|error| moved_on("dynamodb:UpdateItem", &error))
    }

    /// Drops a hold after its original was put back.
    ///
    /// # Errors
    /// [`Failure::Transient`] when another incident took the hold meanwhile: its run has denied
    /// again, or finds in its verification that it must.
    pub async fn forget(
        &self,
        incident: &IncidentId,
        resource: &str,
        mechanism: &str,
    ) -> Result<(), Failure> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(hold_key(resource, mechanism)))
            .condition_expression("attribute_not_exists(pk) OR incidents = :incident")
            .expression_attribute_values(":incident", only(incident))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| moved_on("dynamodb:DeleteItem", &error))
    }

    /// The bookkeeping of one worker's run for `incident`.
    #[must_use]
    pub fn holds_for<'a>(&'a self, incident: &'a IncidentId, now: Timestamp) -> Holds<'a> {
        Holds {
            ledger: self,
            incident,
            now,
            reachable: true,
            too_large: Vec::new(),
            unrecorded: Vec::new(),
        }
    }
}

/// Holds that never block: what the ledger does not take is handed to the caller.
#[derive(Debug)]
pub struct Holds<'a> {
    ledger: &'a Ledger,
    incident: &'a IncidentId,
    now: Timestamp,
    reachable: bool,
    too_large: Vec<String>,
    unrecorded: Vec<Hold>,
}

impl Holds<'_> {
    /// Records a hold before the change it describes. When the ledger fails once, it is not asked
    /// again: containment is worth more than the seconds.
    pub async fn put(&mut self, hold: Hold) {
        if self.record(&hold).await.is_none() {
            self.hand_over(hold);
        }
    }

    /// As [`Holds::put`], for an original that must not give way to another one: false where one
    /// stands in the ledger, which then has not recorded this.
    pub async fn put_own(&mut self, hold: Hold) -> bool {
        let own = hold.clone().within(LARGEST_KEPT).original;
        let stands = self.record(&hold).await;
        if stands.is_none() {
            self.hand_over(hold);
            return true;
        }
        stands == Some(own)
    }

    /// The original that stands in the ledger; none when the ledger does not take the hold.
    async fn record(&mut self, hold: &Hold) -> Option<Value> {
        if !self.reachable {
            return None;
        }
        match self.ledger.hold(self.incident, hold, self.now).await {
            Ok(stands) => {
                self.too_large.extend(Hold::too_large(&stands));
                Some(stands)
            }
            Err(failure) => {
                tracing::warn!(
                    incident = self.incident.as_str(),
                    // What follows the slash may be a key's id.
                    mechanism = hold.mechanism.split('/').next(),
                    failure = failure.name(),
                    "hold not recorded; acting all the same"
                );
                self.reachable = false;
                None
            }
        }
    }

    fn hand_over(&mut self, hold: Hold) {
        let handed = self.unrecorded.iter();
        let handed: usize = handed.map(|hold| hold.original.to_string().len()).sum();
        self.unrecorded
            .push(hold.within(MOST_HANDED.saturating_sub(handed)));
    }

    /// What the ledger keeps only a mark of, one line each, for the summary.
    #[must_use]
    pub fn too_large(&self) -> &[String] {
        &self.too_large
    }

    /// The holds that the ledger did not take: a worker's answer carries them as its `undo`.
    #[must_use]
    pub fn unrecorded(self) -> Vec<Hold> {
        self.unrecorded
    }
}

pub(crate) fn holders_of(item: &Item) -> &[String] {
    item.get("incidents")
        .and_then(|holders| holders.as_ss().ok())
        .map_or(&[], Vec::as_slice)
}

pub(crate) fn pk(resource: &str) -> String {
    format!("hold#{resource}")
}

fn hold_key(resource: &str, mechanism: &str) -> Item {
    key(&pk(resource), mechanism)
}

fn only(incident: &IncidentId) -> AttributeValue {
    AttributeValue::Ss(vec![incident.as_str().to_owned()])
}

fn moved_on<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if condition_failed(error) {
        Failure::Transient(
            "another incident came to or left this hold meanwhile; run again".to_owned(),
        )
    } else {
        Failure::aws(call, error)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::{
        get_item::GetItemOutput,
        update_item::{UpdateItemError, UpdateItemOutput},
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;

    const BUCKET: &str = "arn:aws:s3:::logs";

    fn incident() -> IncidentId {
        "i-1".parse().unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-25T03:00:00Z".parse().unwrap()
    }

    fn ledger(rules: &[&Rule]) -> Ledger {
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules);
        Ledger::new(client, "ledger")
    }

    fn hold(mechanism: &str, bytes: usize) -> Hold {
        Hold {
            resource: BUCKET.to_owned(),
            mechanism: mechanism.to_owned(),
            original: json!({"lifecycle": "x".repeat(bytes)}),
        }
    }

    /// A ledger that takes whatever it is given.
    fn taking() -> Rule {
        mock!(aws_sdk_dynamodb::Client::update_item).then_compute_output(|request| {
            let original = request.expression_attribute_values().unwrap()[":original"].clone();
            assert!(original.as_s().unwrap().len() <= LARGEST_KEPT);
            UpdateItemOutput::builder()
                .attributes("original", original)
                .build()
        })
    }

    fn broken() -> Rule {
        mock!(aws_sdk_dynamodb::Client::update_item).then_error(|| {
            let error = aws_sdk_dynamodb::error::ErrorMetadata::builder().code("AccessDenied");
            UpdateItemError::generic(error.build())
        })
    }

    fn done(undo: Vec<Hold>) -> Done {
        Done {
            changed: true,
            summary: "put back".to_owned(),
            undo,
            left: Vec::new(),
        }
    }

    #[tokio::test]
    async fn an_original_that_fits_is_kept_whole() {
        let kept = hold("bucket-lifecycle", LARGEST_KEPT - 100);
        let (taking, id) = (taking(), incident());
        let ledger = ledger(&[&taking]);
        let stands = ledger.hold(&id, &kept, now()).await.unwrap();
        assert_eq!(stands, kept.original);
        let mut holds = ledger.holds_for(&id, now());
        holds.put(kept).await;
        assert!(holds.too_large().is_empty() && holds.unrecorded().is_empty());
    }

    #[tokio::test]
    async fn of_an_original_that_is_too_large_the_ledger_keeps_a_mark() {
        let (taking, id) = (taking(), incident());
        let ledger = ledger(&[&taking]);
        let mut holds = ledger.holds_for(&id, now());
        holds.put(hold("bucket-lifecycle", LARGEST_KEPT)).await;
        let told = holds.too_large().to_vec();
        assert!(holds.unrecorded().is_empty());
        assert_eq!(
            told,
            [
                "bucket-lifecycle of arn:aws:s3:::logs before was too large to keep (204816 bytes of \
              JSON, SHA-256 46fc66d8f54e842602c36898f3ea8d930b37e3cc49b4381437674bb2cb9015a3): only \
              CloudTrail's record of the call that set it has it"
            ]
        );
    }

    #[tokio::test]
    async fn an_answer_hands_over_no_more_than_fits_and_says_what_it_left_out() {
        let (broken, id) = (broken(), incident());
        let ledger = ledger(&[&broken]);
        let mut holds = ledger.holds_for(&id, now());
        for (mechanism, bytes) in [
            ("bucket-policy", 20_000),
            ("bucket-lifecycle", 20_000),
            ("access-key/AKIAIOSFODNN7EXAMPLE", 20_000),
            ("key", 10),
        ] {
            holds.put(hold(mechanism, bytes)).await;
        }
        assert_eq!(broken.num_calls(), 1);
        let undo = holds.unrecorded();
        let whole: Vec<_> = undo
            .iter()
            .map(|hold| Hold::too_large(&hold.original).is_none())
            .collect();
        assert_eq!(whole, [true, false, false, true]);
        assert!(serde_json::to_string(&undo).unwrap().len() < MOST_HANDED);
        let done = done(undo).unless(Vec::new(), "").unwrap();
        let told = "put back; bucket-lifecycle of arn:aws:s3:::logs before was too large to keep";
        assert!(done.summary.starts_with(told), "{}", done.summary);
        assert!(
            done.summary
                .contains("; access-key of arn:aws:s3:::logs before")
        );
        assert!(!done.summary.contains("AKIA"));
    }

    #[tokio::test]
    async fn a_mark_is_handed_over_as_it_is() {
        let mark = hold("bucket-lifecycle", 40_000).within(MOST_HANDED);
        assert_eq!(mark.clone().within(0), mark);
        assert_eq!(Hold::too_large(&json!({"lifecycle": {}})), None);
    }

    #[tokio::test]
    async fn an_undo_learns_that_the_original_was_not_kept() {
        let mark = hold("bucket-lifecycle", 40_000).within(MOST_HANDED);
        let nobody = mock!(aws_sdk_dynamodb::Client::get_item)
            .then_output(|| GetItemOutput::builder().build());
        let (ledger, id) = (ledger(&[&nobody]), incident());
        let handed = [mark.clone()];
        let undo = ledger.undo_for(&id, &handed, false);
        let released = undo.release(BUCKET, "bucket-lifecycle").await.unwrap();
        let Release::Last(original) = released else {
            panic!("{released:?}");
        };
        assert!(Hold::too_large(&original).is_some());
    }

    #[tokio::test]
    async fn an_own_original_is_not_recorded_where_another_stands() {
        let stands = mock!(aws_sdk_dynamodb::Client::update_item).then_output(|| {
            let original = AttributeValue::S(json!("a").to_string());
            UpdateItemOutput::builder()
                .attributes("original", original)
                .build()
        });
        let id = incident();
        let removed = |target: &str| Hold {
            original: json!(target),
            ..hold("removed", 0)
        };
        let reachable = ledger(&[&stands]);
        let mut holds = reachable.holds_for(&id, now());
        assert!(holds.put_own(removed("a")).await);
        assert!(!holds.put_own(removed("b")).await);
        assert_eq!(holds.unrecorded(), []);

        let broken = broken();
        let unreachable = ledger(&[&broken]);
        let mut holds = unreachable.holds_for(&id, now());
        assert!(holds.put_own(removed("b")).await);
        assert_eq!(holds.unrecorded(), [removed("b")]);
    }
}
