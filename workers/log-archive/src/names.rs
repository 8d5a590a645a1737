//! Which bucket, key and log group are a trail's.

use incident::{BadSetting, KeyArn, Settings, TrailArn};

use crate::policy::Delivery;

/// The names that the template takes; what it is not given is not watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The account that must own the bucket.
    pub account: String,
    /// The bucket of the log files.
    pub bucket: Option<String>,
    /// The key that encrypts them.
    pub key: Option<KeyArn>,
    /// The log group that gets the events too.
    pub log_group: Option<String>,
    /// How many days a log file must be kept for at least.
    pub min_retention_days: u32,
}

impl Names {
    /// Reads `ACCOUNT_ID`, `MIN_LOG_RETENTION_DAYS` and, where they are given, `TRAIL_BUCKET_NAME`,
    /// `TRAIL_KEY_ARN` and `TRAIL_LOG_GROUP_NAME`.
    ///
    /// # Errors
    /// Names the setting that is missing or does not parse.
    pub fn from_settings<F>(settings: &Settings<F>) -> Result<Self, BadSetting>
    where
        F: Fn(&str) -> Option<String>,
    {
        Ok(Self {
            account: settings.required("ACCOUNT_ID")?,
            bucket: settings.optional("TRAIL_BUCKET_NAME")?,
            key: settings.optional("TRAIL_KEY_ARN")?,
            log_group: settings.optional("TRAIL_LOG_GROUP_NAME")?,
            min_retention_days: settings.required("MIN_LOG_RETENTION_DAYS")?,
        })
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bucket.is_none() && self.key.is_none() && self.log_group.is_none()
    }

    /// The names, as those of `trail`.
    #[must_use]
    pub fn of<'a>(&'a self, trail: &'a TrailArn) -> Watched<'a> {
        Watched {
            trail: Some(trail),
            ..self.into()
        }
    }
}

/// What is watched, and the trail that writes there, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// The names.
    pub names: &'a Names,
    /// The trail.
    pub trail: Option<&'a TrailArn>,
    /// What the keys of its files start with; an empty text for nothing.
    pub prefix: Option<&'a str>,
}

impl<'a> Watched<'a> {
    /// The same, of a trail with this prefix; an empty text for none.
    #[must_use]
    pub fn under(self, prefix: &'a str) -> Self {
        Self {
            prefix: Some(prefix),
            ..self
        }
    }

    /// What is delivered there.
    #[must_use]
    pub fn delivery(&self) -> Delivery<'a> {
        Delivery {
            account: Some(&self.names.account),
            trail: self.trail,
            prefix: self.prefix,
        }
    }
}

impl<'a> From<&'a Names> for Watched<'a> {
    /// Of nobody knows which trail.
    fn from(names: &'a Names) -> Self {
        Self {
            names,
            trail: None,
            prefix: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[(&str, &str)]) -> Result<Names, BadSetting> {
        Names::from_settings(&Settings::new(|name| {
            let given = given.iter().find(|(known, _)| *known == name);
            given.map(|(_, value)| (*value).to_owned())
        }))
    }

    #[test]
    fn what_the_template_is_not_given_is_not_watched() {
        let key = "arn:aws:kms:eu-west-1:123456789012:key/k";
        let names = |bucket, key| {
            names(&[
                ("ACCOUNT_ID", "123456789012"),
                ("MIN_LOG_RETENTION_DAYS", "365"),
                ("TRAIL_BUCKET_NAME", bucket),
                ("TRAIL_KEY_ARN", key),
                ("TRAIL_LOG_GROUP_NAME", "none"),
            ])
            .unwrap()
        };
        let all = names("logs", key);
        assert_eq!(all.bucket.as_deref(), Some("logs"));
        assert_eq!(all.key, Some(key.parse().unwrap()));
        assert_eq!(
            (all.log_group.as_ref(), all.min_retention_days),
            (None, 365)
        );
        assert!(!all.is_empty() && names("none", "").is_empty());
    }

    #[test]
    fn how_long_log_files_are_kept_must_be_said() {
        let unsaid = names(&[("ACCOUNT_ID", "123456789012")]).unwrap_err();
        insta::assert_snapshot!(unsaid, @"the setting MIN_LOG_RETENTION_DAYS: is not set");
    }
}
