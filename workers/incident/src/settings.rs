//! Settings from the environment, as the template hands them to a worker.

use std::{fmt::Display, str::FromStr};

/// Reads settings by name; an empty value, or the word `none`, is no value.
pub struct Settings<F>(F);

/// A setting that is missing or does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the setting {name}: {why}")]
pub struct BadSetting {
    name: &'static str,
    why: String,
}

impl BadSetting {
    /// The setting `name`, and why it cannot be used.
    #[must_use]
    pub fn new(name: &'static str, why: String) -> Self {
        Self { name, why }
    }
}

impl Settings<fn(&str) -> Option<String>> {
    /// The process's own environment.
    #[must_use]
    pub fn from_env() -> Self {
        Self(|name| std::env::var(name).ok())
    }
}

impl<F: Fn(&str) -> Option<String>> Settings<F> {
    /// Settings from any source.
    pub fn new(get: F) -> Self {
        Self(get)
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty() && value != "none")
    }

    /// A setting that may be left out.
    ///
    /// # Errors
    /// When it is there and does not parse.
    pub fn optional<T>(&self, name: &'static str) -> Result<Option<T>, BadSetting>
    where
        T: FromStr<Err: Display>,
    {
        self.get(name).map(|value| read(name, &value)).transpose()
    }

    /// A setting that must be there.
    ///
    /// # Errors
    /// When it is missing or does not parse.
    pub fn required<T>(&self, name: &'static str) -> Result<T, BadSetting>
    where
        T: FromStr<Err: Display>,
    {
        self.optional(name)?.ok_or_else(|| BadSetting {
            name,
            why: "is not set".to_owned(),
        })
    }

    /// A list, separated by commas; none is an empty list.
    ///
    /// # Errors
    /// When an entry does not parse.
    pub fn list<T>(&self, name: &'static str) -> Result<Vec<T>, BadSetting>
    where
        T: FromStr<Err: Display>,
    {
        self.get(name)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| read(name, entry))
            .collect()
    }
}

fn read<T: FromStr<Err: Display>>(name: &'static str, value: &str) -> Result<T, BadSetting> {
    value.parse().map_err(|error: T::Err| BadSetting {
        name,
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserArn;

    fn settings(value: &'static str) -> Settings<impl Fn(&str) -> Option<String>> {
        Settings::new(move |name| (name == "SET").then(|| value.to_owned()))
    }

    #[test]
    fn a_list_is_separated_by_commas_and_may_be_none() {
        let list = |value| settings(value).list::<u8>("SET").unwrap();
        assert_eq!(list("1, 2,3"), [1, 2, 3]);
        assert_eq!(list("none"), [0; 0]);
        assert_eq!(list(""), [0; 0]);
    }

    #[test]
    fn an_error_names_the_setting() {
        let missing = settings("x").required::<u8>("OTHER").unwrap_err();
        assert_eq!(missing.to_string(), "the setting OTHER: is not set");
        let wrong = settings("eve").optional::<UserArn>("SET").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the setting SET: expected an ARN like arn:aws:iam::123456789012:user/name"
        );
    }
}
