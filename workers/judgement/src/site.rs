//! Calls on the objects of the site.

use incident::{
    Actor, BadSetting, BucketName, ObjectKey, RoleArn, Runbook, Settings, Severity, Target,
};

use crate::{
    archive::aim_at_bucket,
    call::{Aim, Case, Effect, Response, Touched},
};

/// The site, and who may change it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its bucket.
    pub bucket: BucketName,
    /// The roles by which CI/CD deploys it.
    pub deployers: Vec<RoleArn>,
}

impl Site {
    /// Reads `SITE_BUCKET_NAME` and `CI_ROLE_ARNS`; none when no bucket is given.
    ///
    /// # Errors
    /// Names the setting that does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Option<Self>, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        let Some(bucket) = settings.optional("SITE_BUCKET_NAME")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            bucket,
            deployers: settings.list("CI_ROLE_ARNS")?,
        }))
    }

    fn is_deployed_by(&self, actor: &Actor) -> bool {
        matches!(actor, Actor::Role { arn, .. }
            if self.deployers.iter().any(|role| role.is_same(arn)))
    }
}

const WRITTEN: &str = "was written";

pub(crate) fn touched(case: &Case<'_>) -> Option<Touched> {
    let effect: fn(&Case<'_>) -> Effect = match case.name() {
        "PutObject" | "PostObject" | "CopyObject" | "CompleteMultipartUpload" => {
            |case| changed(case, |case| of_object(case, WRITTEN))
        }
        "UpdateObjectEncryption" => |case| changed(case, encrypted),
        "DeleteObject" => |case| changed(case, |case| of_object(case, "was deleted")),
        "DeleteObjects" => |case| changed(case, deleted),
        "PutObjectAcl" => |case| changed(case, shared),
        "PutObjectTagging" | "DeleteObjectTagging" => |case| changed(case, tagged),
        _ => return None,
    };
    let aim = match &case.watch.site {
        None => Aim::Nothing,
        Some(site) => aim_at_bucket(case, site.bucket.as_str()),
    };
    Some(Touched::new("the site", aim, effect))
}

/// What a change did, unless whoever deploys the site made it.
fn changed(case: &Case<'_>, effect: fn(&Case<'_>) -> Effect) -> Effect {
    let by = &case.call.actor;
    if case.watch.tiers.is_responder(by) {
        return Effect::Harmless("the site was repaired by the responder itself".to_owned());
    }
    let site = case.watch.site.as_ref();
    if !site.is_some_and(|site| site.is_deployed_by(by)) {
        return effect(case);
    }
    match borrowed(case) {
        Some(how) => Effect::Unclear(format!(
            "the site was changed by a CI/CD role, but {how}: somebody may have borrowed the role"
        )),
        None => Effect::Harmless("the site was deployed by CI/CD".to_owned()),
    }
}

/// How a call by a CI/CD role is not how CI/CD calls.
fn borrowed(case: &Case<'_>) -> Option<&'static str> {
    let record = case.record;
    if record["additionalEventData"]["AuthenticationMethod"] == "QueryString" {
        return Some("through a presigned URL");
    }
    record["userIdentity"]["sessionContext"]["sourceIdentity"]
        .is_string()
        .then_some("in a session that a person began")
}

fn vandalism(case: &Case<'_>, what: String) -> Response {
    let site = case.watch.site.as_ref();
    Response {
        target: site.map(|site| Target::Bucket {
            name: site.bucket.clone(),
        }),
        ..Response::new(Runbook::SiteVandalism, Severity::High, what)
    }
}

fn of_object(case: &Case<'_>, what: &str) -> Effect {
    let key = case
        .given("key")
        .and_then(|key| key.parse::<ObjectKey>().ok());
    let (Some(site), Some(key)) = (&case.watch.site, key) else {
        return Effect::Unclear(format!(
            "an object of the site {what}, and the event does not say which"
        ));
    };
    let made = case.record["responseElements"]["x-amz-version-id"].as_str();
    let named = case.given("versionId");
    // A write makes the version that S3 answers, whatever the request says; of everything else the
    // request names the version, where it means one.
    let version = if what == WRITTEN {
        made
    } else {
        named.or(made)
    };
    Response {
        target: Some(Target::Object {
            bucket: site.bucket.clone(),
            version: version.and_then(|version| version.parse().ok()),
            key,
        }),
        ..vandalism(case, format!("an object of the site {what}"))
    }
    .into()
}

/// CloudTrail does not say which objects a `DeleteObjects` took.
fn deleted(case: &Case<'_>) -> Effect {
    vandalism(case, "objects of the site were deleted".to_owned()).into()
}

fn shared(case: &Case<'_>) -> Effect {
    let everybody = ["global/AllUsers", "global/AuthenticatedUsers"];
    let request = case.call.request.to_string();
    let canned = case.given("x-amz-acl").unwrap_or_default();
    let opened = canned.starts_with("public-")
        || canned == "authenticated-read"
        || everybody.iter().any(|group| request.contains(group));
    if opened {
        return of_object(case, "was opened to everybody");
    }
    Effect::Unclear("the access to an object of the site was changed".to_owned())
}

/// The key that a version is encrypted with is changed in place: with a key that can be taken away, the
/// last good version can be lost before the site is defaced.
fn encrypted(_: &Case<'_>) -> Effect {
    Effect::Unclear(
        "an object of the site was encrypted with another key, which its owner can take away: see \
         whose key it is, and deploy the site again"
            .to_owned(),
    )
}

fn tagged(_: &Case<'_>) -> Effect {
    Effect::Unclear(
        "the tags of an object of the site were changed, which access or a lifecycle may go by"
            .to_owned(),
    )
}
