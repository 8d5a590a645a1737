//! One successful `AssumeRole`, as CloudTrail's history tells it.

use std::fmt;

use aws_sdk_cloudtrail::types::Event;
use incident::{Actor, Principal, RoleArn, Session, Text};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How long a session lives when its taker did not say.
const DEFAULT_LIFE: i64 = 3_600;

/// No session of a role lives longer.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(12);

/// How much longer something may live that came of a session: one that it took, and one that this took
/// in turn, lives an hour each, whatever its role allows.
const LONGEST_AFTERLIFE: SignedDuration = SignedDuration::from_hours(2);

/// No session that was taken before matters at `now`.
pub(crate) fn horizon(now: Timestamp) -> Timestamp {
    now - LONGEST_LIFE - LONGEST_AFTERLIFE
}

/// A session of a role, and who took it. The access key ids stay in here: neither an answer nor a
/// log line holds one.
pub(crate) struct Taken {
    pub(crate) role: RoleArn,
    pub(crate) session: Session,
    /// The id of the access key that the session was given, by which its own calls are found.
    pub(crate) key: Option<String>,
    pub(crate) by: Actor,
    by_key: Option<String>,
    pub(crate) at: Timestamp,
    /// When it ends, by the life that was asked for.
    pub(crate) until: Timestamp,
}

/// An `AssumeRole` whose record does not say which session came of it.
pub(crate) struct Unreadable;

impl Taken {
    /// Reads an event of the history; none when it is no successful `AssumeRole`. Lenient: the record
    /// is a text whose fields vary.
    pub(crate) fn read(event: &Event, account: &str) -> Result<Option<Self>, Unreadable> {
        if event.event_name().is_some_and(|name| name != "AssumeRole") {
            return Ok(None);
        }
        let record: Value = event
            .cloud_trail_event()
            .and_then(|record| serde_json::from_str(record).ok())
            .ok_or(Unreadable)?;
        let succeeded = record["errorCode"].is_null();
        let assumes =
            record["eventName"] == "AssumeRole" && record["eventSource"] == "sts.amazonaws.com";
        if !(assumes && succeeded) {
            return Ok(None);
        }
        let (request, answer) = (&record["requestParameters"], &record["responseElements"]);
        let identity = &record["userIdentity"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (role, session) = assumed(request, answer).ok_or(Unreadable)?;
        let at = record["eventTime"]
            .as_str()
            .and_then(|time| time.parse().ok())
            .or_else(|| Timestamp::from_second(event.event_time()?.secs()).ok())
            .ok_or(Unreadable)?;
        Ok(Some(Self {
            role,
            session,
            key: text(&answer["credentials"]["accessKeyId"]),
            by: Actor::of(identity, account),
            by_key: text(&identity["accessKeyId"]),
            at,
            until: at + life(&request["durationSeconds"]),
        }))
    }

    /// The session as somebody who may be contained.
    pub(crate) fn actor(&self) -> Actor {
        Actor::Role {
            arn: self.role.clone(),
            session: Some(self.session.clone()),
        }
    }

    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        self.until > now
    }

    /// Whether something that came of the session may be alive, though it has ended itself.
    pub(crate) fn may_have_heirs(&self, now: Timestamp) -> bool {
        self.until + LONGEST_AFTERLIFE > now
    }

    pub(crate) fn is_same_session(&self, other: &Self) -> bool {
        is_same_session((&self.role, &self.session), (&other.role, &other.session))
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, at, until, .. } = self;
        let session = self.actor();
        write!(
            f,
            "{session}, taken by {by} at {at:.0}, alive until {until:.0}"
        )
    }
}

/// Whose sessions are looked for.
#[derive(Clone)]
pub(crate) enum Taker {
    /// A user or a role, whichever session of it.
    Principal(Principal),
    /// One session of a role.
    Session(RoleArn, Session),
    /// Whoever signs with this access key.
    Key(String),
}

impl Taker {
    pub(crate) fn took(&self, taken: &Taken) -> bool {
        match (self, &taken.by) {
            (Self::Key(key), _) => taken.by_key.as_ref() == Some(key),
            (Self::Principal(own), by) => by.principal().is_some_and(|by| by.is_same(own)),
            (
                Self::Session(role, session),
                Actor::Role {
                    arn,
                    session: Some(by),
                },
            ) => is_same_session((role, session), (arn, by)),
            (Self::Session(..), _) => false,
        }
    }

    /// Whether a session is the taker's own, so that containing the taker ends it.
    pub(crate) fn is(&self, taken: &Taken) -> bool {
        match self {
            Self::Principal(own) => own.is_same(&Principal::Role(taken.role.clone())),
            Self::Session(role, session) => {
                is_same_session((role, session), (&taken.role, &taken.session))
            }
            Self::Key(_) => false,
        }
    }
}

/// Where an id is not known, the names decide.
fn is_same_session(one: (&RoleArn, &Session), other: (&RoleArn, &Session)) -> bool {
    let ids = one.1.user_id.as_ref().zip(other.1.user_id.as_ref());
    one.0.is_same(other.0)
        && one.1.name == other.1.name
        && ids.is_none_or(|(one, other)| one == other)
}

/// The role as it was asked for, with its path, and the session as it was answered.
fn assumed(request: &Value, answer: &Value) -> Option<(RoleArn, Session)> {
    let answered = &answer["assumedRoleUser"];
    let of_answer = answered["arn"]
        .as_str()
        .and_then(|arn| Actor::from_arn(&arn.parse().ok()?));
    let (role, session) = match of_answer {
        Some(Actor::Role { arn, session }) => (Some(arn), session),
        _ => (None, None),
    };
    let asked = request["roleArn"].as_str().and_then(|arn| arn.parse().ok());
    let user_id = answered["assumedRoleId"].as_str();
    let name = request["roleSessionName"]
        .as_str()
        .map(Text::cut)
        .or_else(|| session.map(|session| session.name))
        .or_else(|| user_id?.split_once(':').map(|(_, name)| Text::cut(name)))?;
    Some((
        asked.or(role)?,
        Session {
            name,
            user_id: user_id.map(Text::cut),
        },
    ))
}

fn life(asked: &Value) -> SignedDuration {
    let seconds = asked
        .as_i64()
        .or_else(|| asked.as_str()?.parse().ok())
        .unwrap_or(DEFAULT_LIFE);
    SignedDuration::from_secs(seconds.max(0)).min(LONGEST_LIFE)
}
