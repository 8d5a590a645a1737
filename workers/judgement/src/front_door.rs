//! The front door itself: the firewall of the API and of the sign-in, the user pool, and the alarms
//! that tell of an attack on them.

use incident::{Arn, BadSetting, IpSetArn, Settings, WebAclArn};

use crate::{
    call::{Aim, Case, Effect, Touched},
    ours,
};

const WEB_ACL: &str = "the web ACL";
const IP_SET: &str = "an IP set of the firewall";
const POOL: &str = "the user pool";

/// What the template's alarms count, by the ends of their names, and what each says when it goes off.
const ATTACKS: [(&str, &str); 5] = [
    (
        "rate",
        "single addresses send the API more requests than people do",
    ),
    ("sql-injection", "the firewall stops SQL injection"),
    (
        "cross-site-scripting",
        "the firewall stops cross-site scripting",
    ),
    (
        "ip-reputation",
        "the firewall stops requests from addresses of ill repute",
    ),
    (
        "known-bad-inputs",
        "the firewall stops requests that are known to exploit something",
    ),
];

/// The firewall of the API and of the sign-in.
#[derive(Debug, Clone)]
pub struct FrontDoor {
    /// The web ACL; none is watched when none is given.
    pub web_acl: Option<WebAclArn>,
    /// What it blocks by address: a set for each family.
    pub ip_sets: Vec<IpSetArn>,
    /// Alarms that tell of an attack on the API, beside the template's.
    pub alarms: Vec<String>,
}

impl FrontDoor {
    /// Reads `WEB_ACL_ARN`, `IP_SET_V4_ARN`, `IP_SET_V6_ARN` and `API_ALARM_NAMES`.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let ip_sets = [
            settings.optional("IP_SET_V4_ARN")?,
            settings.optional("IP_SET_V6_ARN")?,
        ];
        Ok(Self {
            web_acl: settings.optional("WEB_ACL_ARN")?,
            ip_sets: ip_sets.into_iter().flatten().collect(),
            alarms: settings.list("API_ALARM_NAMES")?,
        })
    }

    /// What an alarm says of an attack on the API; `own` is its name without the stack's, where it
    /// has that. None when it is about something else.
    pub(crate) fn attack(&self, alarm: &str, own: Option<&str>) -> Option<&'static str> {
        let kind = own.and_then(|own| own.strip_prefix("api-attacked-"));
        let known = ATTACKS.iter().find(|(name, _)| Some(*name) == kind);
        let named = || self.alarms.iter().any(|name| name == alarm);
        known
            .map(|(_, says)| *says)
            .or_else(|| named().then_some("the API is attacked"))
    }
}

/// Calls on the firewall.
pub(crate) fn firewall(case: &Case<'_>) -> Option<Touched> {
    let front_door = &case.watch.front_door;
    let web_acl: Vec<_> = front_door.web_acl.iter().map(WebAclArn::arn).collect();
    let ip_sets: Vec<_> = front_door.ip_sets.iter().map(IpSetArn::arn).collect();
    let (thing, aim) = match case.name() {
        "DeleteWebACL" | "UpdateWebACL" => (WEB_ACL, by_id(case, &web_acl)),
        "DeleteLoggingConfiguration" => {
            (WEB_ACL, by_arn(case, &web_acl, case.given("resourceArn")))
        }
        "PutLoggingConfiguration" => {
            let given = case.call.request["loggingConfiguration"]["resourceArn"].as_str();
            (WEB_ACL, by_arn(case, &web_acl, given))
        }
        "AssociateWebACL" | "DisassociateWebACL" => (WEB_ACL, aim_of_association(case)),
        "DeleteIPSet" | "UpdateIPSet" => (IP_SET, by_id(case, &ip_sets)),
        _ => return None,
    };
    Some(Touched::new(thing, aim, |case| {
        changed(
            case,
            match case.name() {
                "DeleteWebACL" => "the web ACL was deleted: nothing guards the API and the sign-in",
                "UpdateWebACL" => "the web ACL was changed: whether it still guards is to be seen",
                "DeleteLoggingConfiguration" => {
                    "the web ACL's logs were turned off, by which offenders are found"
                }
                "PutLoggingConfiguration" => {
                    "the web ACL's logs were changed, by which offenders are found"
                }
                "AssociateWebACL" => {
                    "another web ACL took the place of the one that guards the API or the sign-in"
                }
                "DisassociateWebACL" => {
                    "a web ACL was taken off an API or the sign-in; the event does not say which"
                }
                "DeleteIPSet" => "an IP set of the firewall was deleted: what it blocked gets in",
                _ => "the addresses that the firewall blocks were changed",
            },
        )
    }))
}

/// Calls on the user pool, other than to sign in.
pub(crate) fn user_pool(case: &Case<'_>) -> Option<Touched> {
    const OUR_CALLS: [&str; 3] = [
        "AdminDisableUser",
        "AdminEnableUser",
        "AdminUserGlobalSignOut",
    ];
    let weakens = matches!(
        case.name(),
        "UpdateUserPool"
            | "DeleteUserPool"
            | "UpdateUserPoolClient"
            | "DeleteUserPoolClient"
            | "SetRiskConfiguration"
            | "SetLogDeliveryConfiguration"
            | "SetUserPoolMfaConfig"
    );
    // Whom others disable and enable is the clinic's business.
    let is_ours =
        OUR_CALLS.contains(&case.name()) && case.watch.tiers.is_responder(&case.call.actor);
    if !weakens && !is_ours {
        return None;
    }
    let aim = match (&case.watch.sign_ins, case.given("userPoolId")) {
        (None, _) => Aim::Nothing,
        (Some(sign_ins), Some(given)) => Aim::at(given == sign_ins.user_pool.as_str()),
        (Some(sign_ins), None) => Aim::Unsaid(sign_ins.user_pool.to_string(), ":userpool/"),
    };
    Some(Touched::new(POOL, aim, |case| {
        if OUR_CALLS.contains(&case.name()) {
            return Effect::Harmless("a user was contained or let go by the responder".to_owned());
        }
        changed(
            case,
            match case.name() {
                "DeleteUserPool" => "the user pool was deleted: nobody can sign in",
                "DeleteUserPoolClient" => "an app client of the user pool was deleted",
                "SetLogDeliveryConfiguration" => "the user pool's logs were changed",
                _ => "how people sign in was changed: whether it is still as hard is to be seen",
            },
        )
    }))
}

/// At one of these, which WAF's calls name by id.
fn by_id(case: &Case<'_>, watched: &[&Arn]) -> Aim {
    let ids = |arn: &Arn, id: &str| arn.resource().rsplit('/').next() == Some(id);
    match case.given("id") {
        _ if watched.is_empty() => Aim::Nothing,
        Some(id) => Aim::at(watched.iter().any(|arn| ids(arn, id))),
        None => unsaid(case, watched),
    }
}

fn by_arn(case: &Case<'_>, watched: &[&Arn], given: Option<&str>) -> Aim {
    match given {
        _ if watched.is_empty() => Aim::Nothing,
        Some(given) => Aim::at(watched.iter().any(|arn| arn.as_str() == given)),
        None => unsaid(case, watched),
    }
}

/// An error's message says at which of several a call was aimed.
fn unsaid(case: &Case<'_>, watched: &[&Arn]) -> Aim {
    let message = case.call.error.as_ref().map(|error| error.message.as_str());
    let message = message.unwrap_or_default();
    let said = watched.iter().find(|arn| message.contains(arn.as_str()));
    Aim::Unsaid(
        said.or(watched.first())
            .map_or_else(String::new, ToString::to_string),
        ":wafv2:",
    )
}

/// At the web ACL of an API or of the user pool: these calls name what is guarded. Which API is the
/// CRM's is not configured, so that every one may be.
fn aim_of_association(case: &Case<'_>) -> Aim {
    let Some(web_acl) = &case.watch.front_door.web_acl else {
        return Aim::Nothing;
    };
    let Some(guarded) = case.given("resourceArn") else {
        return unsaid(case, &[web_acl.arn()]);
    };
    let Ok(guarded) = guarded.parse::<Arn>() else {
        return Aim::Other;
    };
    let may_be_guarded = guarded.region() == web_acl.region()
        && match guarded.service() {
            "apigateway" => true,
            "cognito-idp" => case.watch.sign_ins.as_ref().is_some_and(|sign_ins| {
                guarded.resource() == format!("userpool/{}", sign_ins.user_pool)
            }),
            _ => false,
        };
    let is_ours = case.given("webACLArn") == Some(web_acl.arn().as_str());
    Aim::at(may_be_guarded && !is_ours)
}

/// What a change did, unless somebody made it who may.
fn changed(case: &Case<'_>, what: &str) -> Effect {
    let tiers = &case.watch.tiers;
    if case.name() == "UpdateIPSet" && tiers.is_responder(&case.call.actor) {
        return Effect::Harmless(
            "the responder blocked addresses, or let them in again".to_owned(),
        );
    }
    if tiers.is_operator(&case.call.actor) {
        return Effect::Harmless("the front door was changed by an operator".to_owned());
    }
    ours::deployment(case, |case| {
        format!("the front door was changed ({})", case.name())
    })
    .unwrap_or_else(|| Effect::Unclear(what.to_owned()))
}
