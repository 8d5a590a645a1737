//! CloudTrail's event history of a region.

use std::time::Duration;

use aws_sdk_cloudtrail::{
    Client,
    operation::lookup_events::{LookupEventsError, LookupEventsOutput},
    primitives::DateTime,
    types::{LookupAttribute, LookupAttributeKey},
};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout_at};
use worker::Failure;

use crate::taken::{Taken, Taker, Unreadable};

/// `LookupEvents` may be called twice a second, in one account and region.
pub(crate) const PACE: Duration = Duration::from_millis(500);

/// As many failures in a row that may pass, each after the SDK's own attempts, and no more is asked.
const MOST_TRIES: u32 = 3;

/// Whose sessions to look for, and by what. A lookup takes one attribute only.
pub(crate) struct Lookup {
    pub(crate) by: Attribute,
    pub(crate) taker: Taker,
    /// The taker, for people.
    pub(crate) who: String,
}

/// What a lookup asks for.
pub(crate) enum Attribute {
    /// An IAM user's name, or a session's.
    Username(String),
    /// Every `AssumeRole`: nothing else finds all sessions of a role.
    AssumeRole,
    /// An access key's id; to people the name of its session.
    Key { id: String, session: String },
}

impl Attribute {
    fn asked(&self) -> (LookupAttributeKey, &str) {
        match self {
            Self::Username(name) => (LookupAttributeKey::Username, name),
            Self::AssumeRole => (LookupAttributeKey::EventName, "AssumeRole"),
            Self::Key { id, .. } => (LookupAttributeKey::AccessKeyId, id),
        }
    }

    /// The same for a human, without any access key.
    pub(crate) fn by_hand(&self, region: &str, since: Timestamp) -> String {
        let (key, value) = match self {
            Self::Key { session, .. } => (LookupAttributeKey::Username, session.as_str()),
            _ => self.asked(),
        };
        format!(
            "aws cloudtrail lookup-events --region {region} --start-time {since:.0} \
             --lookup-attributes 'AttributeKey={key},AttributeValue=\"{value}\"'"
        )
    }
}

/// When to look, and until when.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a> {
    pub(crate) account: &'a str,
    pub(crate) since: Timestamp,
    pub(crate) deadline: Instant,
}

/// What one lookup found in one region.
pub(crate) struct Pages {
    pub(crate) taken: Vec<Taken>,
    pub(crate) unreadable: usize,
    /// Whether AWS answered at all.
    pub(crate) answered: bool,
    pub(crate) end: End,
}

pub(crate) enum End {
    /// Everything was read.
    All,
    /// Not everything, and why; another lookup may fare better.
    Short(String),
    /// The region cannot be asked.
    Closed(Failure),
}

/// A region, asked no faster than it answers.
pub(crate) struct Region<'a> {
    pub(crate) name: &'a str,
    cloudtrail: &'a Client,
    next: Instant,
}

impl<'a> Region<'a> {
    pub(crate) fn new(name: &'a str, cloudtrail: &'a Client) -> Self {
        Self {
            name,
            cloudtrail,
            next: Instant::now(),
        }
    }

    /// Reads the history page by page, the newest first, for what the lookup's taker took.
    pub(crate) async fn look_up(&mut self, lookup: &Lookup, within: Bounds<'_>) -> Pages {
        let mut pages = Pages {
            taken: Vec::new(),
            unreadable: 0,
            answered: false,
            end: End::All,
        };
        let (mut token, mut restarted, mut tries) = (None, false, 0);
        loop {
            let Some(page) = self.page(lookup, token.as_deref(), within).await else {
                pages.end = End::Short("there was no time left".to_owned());
                return pages;
            };
            match page {
                Ok(page) => {
                    (pages.answered, tries) = (true, 0);
                    for event in page.events() {
                        match Taken::read(event, within.account) {
                            Ok(Some(one)) if lookup.taker.took(&one) => {
                                pages.taken.push(one);
                            }
                            Ok(_) => {}
                            Err(Unreadable) => pages.unreadable += 1,
                        }
                    }
                    token = page.next_token;
                    if token.as_ref().is_none_or(String::is_empty) {
                        return pages;
                    }
                }
                // It has expired: once more from the beginning.
                Err(Refusal::Token(_)) if !restarted => (token, restarted) = (None, true),
                Err(Refusal::Token(failure) | Refusal::Attributes(failure)) => {
                    pages.end = End::Short(failure.to_string());
                    return pages;
                }
                Err(Refusal::Other(Failure::Transient(_))) if tries + 1 < MOST_TRIES => tries += 1,
                Err(Refusal::Other(failure)) => {
                    pages.end = End::Closed(failure);
                    return pages;
                }
            }
        }
    }

    /// One page; none when there is no time for it.
    async fn page(
        &mut self,
        lookup: &Lookup,
        token: Option<&str>,
        within: Bounds<'_>,
    ) -> Option<Result<LookupEventsOutput, Refusal>> {
        if self.next >= within.deadline {
            return None;
        }
        sleep_until(self.next).await;
        let (key, value) = lookup.by.asked();
        let attribute = LookupAttribute::builder()
            .attribute_key(key)
            .attribute_value(value)
            .build();
        let attribute = match attribute {
            Ok(attribute) => attribute,
            Err(why) => return Some(Err(Refusal::Attributes(Failure::Rejected(why.to_string())))),
        };
        let call = self
            .cloudtrail
            .lookup_events()
            .lookup_attributes(attribute)
            .start_time(DateTime::from_secs(within.since.as_second()))
            .set_next_token(token.map(str::to_owned))
            .send();
        let answer = timeout_at(within.deadline, call).await.ok()?;
        self.next = Instant::now() + PACE;
        Some(answer.map_err(|error| {
            let failure = Failure::aws("cloudtrail:LookupEvents", &error);
            match error.as_service_error() {
                Some(LookupEventsError::InvalidNextTokenException(_)) => Refusal::Token(failure),
                Some(LookupEventsError::InvalidLookupAttributesException(_)) => {
                    Refusal::Attributes(failure)
                }
                _ => Refusal::Other(failure),
            }
        }))
    }
}

/// Why a page was not given.
enum Refusal {
    /// The page's token is not valid any more.
    Token(Failure),
    /// CloudTrail does not look for that.
    Attributes(Failure),
    Other(Failure),
}
