//! Attempts to sign in to the CRM.

use incident::{Outcome, SignIn};
use serde_json::{Value, json};

use super::{event, line, now, session_of, watch};
use crate::{Facts, Verdict, Watch, judge};

const POOL: &str = "eu-west-1_ClinicPool";
const CLIENT: &str = "4clinicwebclient";
const ANNA: &str = "5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22";
const WRONG: &str = "Incorrect username or password.";

fn watched() -> Watch {
    watch(&[
        ("USER_POOL_ID", POOL),
        ("USER_POOL_CLIENT_IDS", "4clinicwebclient,5clinicappclient"),
        ("NEVER_BLOCK_CIDRS", "192.0.2.0/24,10.20.0.0/16"),
    ])
}

/// A step of a sign-in by somebody whom the event names, with fields of the record replaced.
fn step(name: &str, request: Value, changes: Value) -> Value {
    let mut event = event("cognito-idp", name, request, json!({}));
    event["detail"]["userIdentity"] = json!({"type": "Unknown", "principalId": "Anonymous"});
    event["detail"]["additionalEventData"] = json!({"sub": ANNA});
    for (field, value) in changes.as_object().unwrap() {
        event["detail"][field] = value.clone();
    }
    event
}

fn by(flow: &str) -> Value {
    json!({
        "authFlow": flow, "clientId": CLIENT,
        "authParameters": "HIDDEN_DUE_TO_SECURITY_REASONS",
    })
}

fn answering(challenge: &str) -> Value {
    json!({
        "challengeName": challenge, "clientId": CLIENT,
        "challengeResponses": "HIDDEN_DUE_TO_SECURITY_REASONS",
    })
}

fn password(changes: Value) -> Value {
    step("InitiateAuth", by("USER_PASSWORD_AUTH"), changes)
}

fn error(code: &str, message: &str) -> Value {
    json!({"errorCode": code, "errorMessage": message, "responseElements": null})
}

fn hosted(name: &str, status: Value) -> Value {
    json!({
        "id": "22222222-2222-3333-4444-555555555555",
        "detail-type": "AWS Service Event via CloudTrail",
        "source": "aws.cognito-idp",
        "account": "123456789012",
        "time": "2026-11-25T03:12:44Z",
        "detail": {
            "userIdentity": {"accountId": "123456789012"},
            "eventTime": "2026-11-25T03:12:40Z",
            "eventSource": "cognito-idp.amazonaws.com",
            "eventName": name,
            "sourceIPAddress": "203.0.113.7",
            "errorCode": "", "errorMessage": "",
            "additionalEventData": {
                "responseParameters": {"status": status},
                "requestParameters": {"client_id": [CLIENT]},
                "userPoolId": POOL,
            },
            "eventID": "0c1d5c0e-0000-4a3a-8f6b-2f1f5d9c0e77",
        },
    })
}

fn judged(event: &Value) -> Verdict {
    judge(event, &watched(), &Facts::default(), now())
}

fn lines<const N: usize>(events: [Value; N]) -> String {
    events.map(|event| line(judged(&event))).join("\n")
}

fn counted(event: &Value) -> SignIn {
    match judged(event) {
        Verdict::Count { sign_in, .. } => *sign_in,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_counted_says_who_from_where_and_how_it_ended() {
    let sign_in = counted(&password(error("NotAuthorizedException", WRONG)));
    insta::assert_json_snapshot!(sign_in, @r#"
    {
      "event": {
        "id": "9b2d1c7e-51f0-4a3a-8f6b-2f1f5d9c0e77",
        "name": "InitiateAuth"
      },
      "occurredAt": "2026-11-25T03:12:40Z",
      "userPool": "eu-west-1_ClinicPool",
      "subject": "5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22",
      "network": "203.0.113.7/32",
      "outcome": "failed"
    }
    "#);
}

#[test]
fn a_wrong_password_or_code_is_a_failure() {
    let mut unknown = password(error("UserNotFoundException", "User does not exist."));
    unknown["detail"]
        .as_object_mut()
        .unwrap()
        .remove("additionalEventData");
    let mut hidden = password(error("NotAuthorizedException", WRONG));
    hidden["detail"]
        .as_object_mut()
        .unwrap()
        .remove("additionalEventData");
    let verifier = answering("PASSWORD_VERIFIER");
    let code = answering("SOFTWARE_TOKEN_MFA");
    insta::assert_snapshot!(lines([
        password(error("NotAuthorizedException", WRONG)),
        password(error("NotAuthorizedException", "Password attempts exceeded")),
        password(error("NotAuthorizedException", "")),
        password(error("TooManyFailedAttemptsException", "Too many failed attempts")),
        unknown,
        hidden,
        step("RespondToAuthChallenge", verifier, error("NotAuthorizedException", WRONG)),
        step("RespondToAuthChallenge", code, error("CodeMismatchException", "Invalid code received for user")),
    ]), @"
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 failed
    ignore: InitiateAuth: locked out: no password was tried
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 failed
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 failed
    count: a sign-in of a user who does not exist from 203.0.113.7/32 failed
    count: a sign-in of a user who does not exist from 203.0.113.7/32 failed
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 failed
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 failed
    ");
}

#[test]
fn what_fails_for_another_reason_is_no_guess() {
    let refresh = |flow: &str| {
        let expired = error("NotAuthorizedException", "Refresh Token has expired");
        step("InitiateAuth", by(flow), expired)
    };
    let broken = error(
        "CodeMismatchException",
        "Invalid code or auth state for the user.",
    );
    insta::assert_snapshot!(lines([
        refresh("REFRESH_TOKEN_AUTH"),
        refresh("REFRESH_TOKEN"),
        step("InitiateAuth", by("REFRESH_TOKEN_AUTH"), json!({"responseElements": {"authenticationResult": "HIDDEN"}})),
        step("GetTokensFromRefreshToken", json!({"clientId": CLIENT}), error("NotAuthorizedException", "Refresh Token has been revoked")),
        password(error("NotAuthorizedException", "User is disabled.")),
        password(error("NotAuthorizedException", "Temporary password has expired and must be reset by an administrator.")),
        password(error("UserNotConfirmedException", "User is not confirmed.")),
        password(error("PasswordResetRequiredException", "Password reset required for the user")),
        password(error("InvalidParameterException", "USER_PASSWORD_AUTH flow not enabled for this client")),
        password(error("TooManyRequestsException", "Rate exceeded")),
        step("RespondToAuthChallenge", answering("EMAIL_OTP"), broken),
    ]), @"
    ignore: InitiateAuth: a session went on: no password was tried
    ignore: InitiateAuth: a session went on: no password was tried
    ignore: InitiateAuth: a session went on: no password was tried
    ignore: GetTokensFromRefreshToken of cognito-idp.amazonaws.com is not an indicator
    ignore: InitiateAuth: refused, and not for a wrong password
    ignore: InitiateAuth: its time was over
    ignore: InitiateAuth: it failed, and not for a wrong password or code
    ignore: InitiateAuth: it failed, and not for a wrong password or code
    ignore: InitiateAuth: it failed, and not for a wrong password or code
    ignore: InitiateAuth: throttled: nothing was tried
    ignore: RespondToAuthChallenge: the code does not belong to this sign-in: an application's fault
    ");
}

#[test]
fn only_who_got_tokens_is_signed_in() {
    let tokens = json!({"responseElements": {"authenticationResult": "HIDDEN"}});
    let challenge = json!({"responseElements": {"challengeName": "SOFTWARE_TOKEN_MFA"}});
    let nothing = json!({"responseElements": null});
    insta::assert_snapshot!(lines([
        password(tokens.clone()),
        password(nothing.clone()),
        password(challenge.clone()),
        step("InitiateAuth", by("USER_SRP_AUTH"), json!({"responseElements": {"challengeName": "PASSWORD_VERIFIER"}})),
        step("InitiateAuth", by("CUSTOM_AUTH"), nothing),
        step("RespondToAuthChallenge", answering("PASSWORD_VERIFIER"), challenge),
        step("RespondToAuthChallenge", answering("PASSWORD_VERIFIER"), tokens),
    ]), @"
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 succeeded
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 succeeded
    ignore: InitiateAuth: a first step, answered with a challenge: nobody is signed in yet
    ignore: InitiateAuth: a first step, answered with a challenge: nobody is signed in yet
    ignore: InitiateAuth: a first step, answered with a challenge: nobody is signed in yet
    ignore: RespondToAuthChallenge: a first step, answered with a challenge: nobody is signed in yet
    count: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 succeeded
    ");
}

#[test]
fn an_attempt_comes_from_the_last_address_that_can_be_somebodys() {
    for (source, network) in [
        ("203.0.113.7, 10.0.0.1", "203.0.113.7/32"),
        ("10.0.0.1, 203.0.113.7", "203.0.113.7/32"),
        ("10.20.3.4, 203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.7, 203.0.113.8", "203.0.113.8/32"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ] {
        let mut event = password(error("NotAuthorizedException", WRONG));
        event["detail"]["sourceIPAddress"] = json!(source);
        let read = counted(&event).network.unwrap().to_string();
        assert_eq!(read, network, "{source}");
    }
    let mut event = password(error("NotAuthorizedException", WRONG));
    event["detail"]["sourceIPAddress"] = json!("AWS Internal");
    assert_eq!(counted(&event).network, None);
}

#[test]
fn a_servers_own_address_is_never_an_attackers() {
    let mut request = by("ADMIN_USER_PASSWORD_AUTH");
    request["userPoolId"] = json!(POOL);
    let mut wrong = error("NotAuthorizedException", WRONG);
    wrong["userIdentity"] = session_of("crm");
    for name in ["AdminInitiateAuth", "AdminRespondToAuthChallenge"] {
        let sign_in = counted(&step(name, request.clone(), wrong.clone()));
        assert_eq!(sign_in.network, None);
        assert_eq!(sign_in.subject.unwrap().as_str(), ANNA);
        assert_eq!(sign_in.outcome, Outcome::Failed);
    }
}

#[test]
fn a_hosted_login_does_not_tell_how_it_ended() {
    let mut elsewhere = hosted("Login_POST", json!(302));
    elsewhere["detail"]["additionalEventData"]["userPoolId"] = json!("eu-west-1_Other");
    let mut by_client = hosted("Login_POST", json!(302));
    by_client["detail"]["additionalEventData"]["userPoolId"] = json!(null);
    let mut foreign = hosted("Login_POST", json!(302));
    foreign["account"] = json!("999988887777");
    let mut timeless = hosted("Login_POST", json!(302));
    timeless["detail"]["eventTime"] = json!("soon");
    insta::assert_snapshot!(lines([
        hosted("CognitoAuthentication", json!(302)),
        hosted("login_POST", json!(200.0)),
        by_client,
        hosted("Login_GET", json!(200.0)),
        hosted("Token_POST", json!(400)),
        hosted("Signup_POST", json!(302)),
        hosted("Login_POST", json!(503)),
        elsewhere,
        foreign,
        timeless,
    ]), @"
    count: a sign-in of a user whom the event does not name from 203.0.113.7/32 was attempted, how it ended is not told
    count: a sign-in of a user whom the event does not name from 203.0.113.7/32 was attempted, how it ended is not told
    count: a sign-in of a user whom the event does not name from 203.0.113.7/32 was attempted, how it ended is not told
    ignore: Login_GET of the hosted login tries no password
    ignore: Token_POST of the hosted login tries no password
    ignore: Signup_POST of the hosted login tries no password
    ignore: Login_POST: Cognito did not take it
    ignore: Login_POST to something else than the CRM's user pool
    ignore: not an API call recorded by CloudTrail
    ignore: Login_POST: the event has no id or no time
    ");
    assert_eq!(
        counted(&hosted("Login_POST", json!(302))).outcome,
        Outcome::Unknown
    );
}

#[test]
fn only_the_crms_own_pool_counts_and_only_in_time() {
    let wrong = || error("NotAuthorizedException", WRONG);
    let of_client = |client: Value| {
        let mut event = password(wrong());
        event["detail"]["requestParameters"]["clientId"] = client;
        event
    };
    let mut admin = step("AdminInitiateAuth", by("ADMIN_NO_SRP_AUTH"), wrong());
    admin["detail"]["requestParameters"]["userPoolId"] = json!("eu-west-1_Other");
    let mut replayed = password(wrong());
    replayed["replay-name"] = json!("again");
    let mut old = password(wrong());
    old["detail"]["eventTime"] = json!("2026-11-24T03:12:40Z");
    insta::assert_snapshot!(lines([
        of_client(json!("otherclient")),
        of_client(json!(null)),
        admin,
        replayed,
        old,
    ]), @"
    ignore: InitiateAuth to something else than the CRM's user pool
    ignore: InitiateAuth to something else than the CRM's user pool
    ignore: AdminInitiateAuth to something else than the CRM's user pool
    ignore: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 failed; replayed from an archive: its time to count has passed
    ignore: a sign-in of user 5f0e3b1a-9c47-4a55-8f0e-2b6c1d7e9f22 from 203.0.113.7/32 failed; more than a day ago
    ");
    let any_client = watch(&[("USER_POOL_ID", POOL)]);
    for client in [json!("otherclient"), json!(null)] {
        let verdict = judge(&of_client(client), &any_client, &Facts::default(), now());
        assert!(matches!(verdict, Verdict::Count { .. }), "{verdict:?}");
    }
    let unwatched = judge(&password(wrong()), &watch(&[]), &Facts::default(), now());
    assert_eq!(
        line(unwatched),
        "ignore: the sign-in of the CRM is not configured, so it is not watched"
    );
}

#[test]
fn signing_in_to_the_console_or_identity_center_is_none_of_the_crms() {
    let mut console = event("signin", "ConsoleLogin", json!(null), json!({}));
    console["detail-type"] = json!("AWS Console Sign In via CloudTrail");
    let portal = event("sso", "CredentialVerification", json!(null), json!({}));
    insta::assert_snapshot!(lines([console, portal]), @"
    ignore: not an API call recorded by CloudTrail
    ignore: CredentialVerification of sso.amazonaws.com is not an indicator
    ");
}
