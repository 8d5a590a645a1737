//! Attempts to sign in to the CRM: what counts, and as what. Whether they are an attack is for
//! `tally-sign-ins` to say, which counts them.

use incident::{
    ApiCall, BadSetting, CallError, ClientId, EventRef, Network, NeverBlock, Outcome, Settings,
    SignIn, Subject, Text, UserPoolId, addresses,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Verdict, Watch,
    call::{OLDEST, ignore},
};

const COGNITO: &str = "cognito-idp.amazonaws.com";

/// The sign-in of the CRM.
#[derive(Debug, Clone)]
pub struct SignIns {
    /// Its user pool.
    pub user_pool: UserPoolId,
    /// The app clients of that pool: most events name no pool. None are listed where every client of
    /// the account is one.
    pub clients: Vec<ClientId>,
    /// Which addresses are nobody's.
    never_block: NeverBlock,
}

impl SignIns {
    /// Reads `USER_POOL_ID`, `USER_POOL_CLIENT_IDS` and `NEVER_BLOCK_CIDRS`; none when no pool is
    /// given.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Option<Self>, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let Some(user_pool) = settings.optional("USER_POOL_ID")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            user_pool,
            clients: settings.list("USER_POOL_CLIENT_IDS")?,
            never_block: NeverBlock::from_settings(settings)?,
        }))
    }

    fn has(&self, pool: Option<&str>, client: Option<&str>) -> bool {
        let is_listed = |client| self.clients.iter().any(|one| one.as_str() == client);
        match (pool, client) {
            (Some(pool), _) => pool == self.user_pool.as_str(),
            (None, Some(client)) => self.clients.is_empty() || is_listed(client),
            (None, None) => self.clients.is_empty(),
        }
    }

    /// Where an attempt came from. Of several addresses the last that can be somebody's out there: those
    /// before it are what the client itself may have written.
    fn network(&self, source: &Value) -> Option<Network> {
        let networks = addresses(source.as_str()?).into_iter().map(Network::of);
        let networks: Vec<_> = networks.collect();
        let somebodys = |network: &&Network| {
            self.never_block.is_own(network) || self.never_block.refusal(network).is_none()
        };
        let found = networks.iter().rfind(somebodys).or(networks.last());
        found.copied()
    }
}

/// Whether a call is an attempt to sign in, or a step of one.
pub(crate) fn is_attempt(call: &ApiCall) -> bool {
    call.service == COGNITO && (is_by_user(call) || is_by_server(call))
}

fn is_by_user(call: &ApiCall) -> bool {
    matches!(
        call.name.as_str(),
        "InitiateAuth" | "RespondToAuthChallenge"
    )
}

/// Whether a server asked for somebody: then the address and the identity are the server's.
fn is_by_server(call: &ApiCall) -> bool {
    let names = ["AdminInitiateAuth", "AdminRespondToAuthChallenge"];
    names.contains(&call.name.as_str())
}

/// Judges an attempt through Cognito's API.
pub(crate) fn of_call(call: &ApiCall, event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    let detail = &event["detail"];
    let text = |parameter: &str| call.request[parameter].as_str();
    let pool = text("userPoolId").or(detail["additionalEventData"]["userPoolId"].as_str());
    let Some(sign_ins) = &watch.sign_ins else {
        return unwatched();
    };
    if !sign_ins.has(pool, text("clientId")) {
        return elsewhere(&call.name);
    }
    let outcome = match &call.error {
        _ if is_refresh(text("authFlow")) => Err("a session went on: no password was tried"),
        Some(error) => failed(error),
        None => succeeded(text("authFlow"), &detail["responseElements"]),
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => return ignore(format!("{}: {why}", call.name)),
    };
    let network = sign_ins.network(&detail["sourceIPAddress"]);
    let sign_in = SignIn {
        event: EventRef {
            id: Text::cut(&call.id),
            name: Text::cut(&call.name),
        },
        occurred_at: call.occurred_at,
        user_pool: sign_ins.user_pool.clone(),
        subject: subject(detail),
        network: network.filter(|_| is_by_user(call)),
        outcome,
    };
    count(sign_in, event, now)
}

/// Judges what the hosted login did, which CloudTrail records as an event of the service.
pub(crate) fn of_hosted_login(event: &Value, watch: &Watch, now: Timestamp) -> Verdict {
    let detail = &event["detail"];
    let name = detail["eventName"].as_str().unwrap_or_default();
    if detail["eventSource"] != COGNITO {
        return ignore(format!("{name} is no event of Cognito's"));
    }
    // Both `Login_POST` and `login_POST` were seen.
    let submits = ["CognitoAuthentication", "Login_POST", "Mfa_POST"];
    if !submits.iter().any(|one| one.eq_ignore_ascii_case(name)) {
        return ignore(format!("{name} of the hosted login tries no password"));
    }
    let Some(sign_ins) = &watch.sign_ins else {
        return unwatched();
    };
    let more = &detail["additionalEventData"];
    let client = &more["requestParameters"]["client_id"];
    let client = client[0].as_str().or(client.as_str());
    if !sign_ins.has(more["userPoolId"].as_str(), client) {
        return elsewhere(name);
    }
    let status = more["responseParameters"]["status"].as_f64();
    if status.is_some_and(|status| status >= 429.0) {
        return ignore(format!("{name}: Cognito did not take it"));
    }
    let id = detail["eventID"].as_str().or(event["id"].as_str());
    let time = detail["eventTime"].as_str().or(event["time"].as_str());
    let occurred_at = time.and_then(|time| time.parse().ok());
    let (Some(id), Some(occurred_at)) = (id, occurred_at) else {
        return ignore(format!("{name}: the event has no id or no time"));
    };
    let sign_in = SignIn {
        event: EventRef {
            id: Text::cut(id),
            name: Text::cut(name),
        },
        occurred_at,
        user_pool: sign_ins.user_pool.clone(),
        subject: subject(detail),
        network: sign_ins.network(&detail["sourceIPAddress"]),
        outcome: Outcome::Unknown,
    };
    count(sign_in, event, now)
}

fn subject(detail: &Value) -> Option<Subject> {
    detail["additionalEventData"]["sub"].as_str()?.parse().ok()
}

/// Whether an old session was exchanged for new tokens, which apps retry without end.
fn is_refresh(flow: Option<&str>) -> bool {
    matches!(flow, Some("REFRESH_TOKEN_AUTH" | "REFRESH_TOKEN"))
}

/// What an error says: that somebody guessed wrong, or why it is no guess.
fn failed(error: &CallError) -> Result<Outcome, &'static str> {
    let message = error.message.to_lowercase();
    match error.code.as_str() {
        // The same code says that the user is disabled, or that a session has ended. Whoever is locked
        // out tries nothing, and may be the owner, whom somebody else's guesses locked out.
        "NotAuthorizedException" if message.contains("attempts exceeded") => {
            Err("locked out: no password was tried")
        }
        "NotAuthorizedException" if message.contains("expired") => Err("its time was over"),
        "NotAuthorizedException" if !message.is_empty() && !message.contains("password") => {
            Err("refused, and not for a wrong password")
        }
        // Cognito says so when a flow of the app is broken, to every user.
        "CodeMismatchException" if message.contains("auth state") => {
            Err("the code does not belong to this sign-in: an application's fault")
        }
        "CodeMismatchException"
        | "NotAuthorizedException"
        | "TooManyFailedAttemptsException"
        | "UserNotFoundException" => Ok(Outcome::Failed),
        "TooManyRequestsException" => Err("throttled: nothing was tried"),
        _ => Err("it failed, and not for a wrong password or code"),
    }
}

/// Whether a call without an error signed somebody in. The answers' values are hidden; that tokens
/// were among them is not.
fn succeeded(flow: Option<&str>, response: &Value) -> Result<Outcome, &'static str> {
    let begins = matches!(flow, Some("USER_SRP_AUTH" | "CUSTOM_AUTH" | "USER_AUTH"));
    if !response["authenticationResult"].is_null() {
        Ok(Outcome::Succeeded)
    } else if !response["challengeName"].is_null() || begins {
        Err("a first step, answered with a challenge: nobody is signed in yet")
    } else {
        Ok(Outcome::Succeeded)
    }
}

fn count(sign_in: SignIn, event: &Value, now: Timestamp) -> Verdict {
    let what = described(&sign_in);
    if event["replay-name"].is_string() {
        return ignore(format!(
            "{what}; replayed from an archive: its time to count has passed"
        ));
    }
    if now.duration_since(sign_in.occurred_at) > OLDEST {
        return ignore(format!("{what}; more than a day ago"));
    }
    Verdict::Count {
        reason: what,
        sign_in: Box::new(sign_in),
    }
}

fn described(sign_in: &SignIn) -> String {
    let whom = match (&sign_in.subject, sign_in.outcome) {
        (Some(subject), _) => format!("user {subject}"),
        (None, Outcome::Failed) => "a user who does not exist".to_owned(),
        (None, _) => "a user whom the event does not name".to_owned(),
    };
    let outcome = match sign_in.outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Unknown => "was attempted, how it ended is not told",
    };
    let from = sign_in
        .network
        .map_or("a server".to_owned(), |network| network.to_string());
    format!("a sign-in of {whom} from {from} {outcome}")
}

fn unwatched() -> Verdict {
    ignore("the sign-in of the CRM is not configured, so it is not watched".to_owned())
}

fn elsewhere(name: &str) -> Verdict {
    ignore(format!("{name} to something else than the CRM's user pool"))
}
