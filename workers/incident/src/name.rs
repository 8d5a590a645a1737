//! Names and ids that are parsed once, at the edge.

/// A text that AWS takes as the name or the id of something: its longest length in bytes, what else it
/// has to be, and what an error expects of it. It is never quoted in an error; people see control
/// characters escaped.
macro_rules! name_of {
    ($(#[$doc:meta])* $name:ident, $longest:literal, $fits:expr, $expected:literal, $bad:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("minLength" = 1, "maxLength" = $longest))]
        pub struct $name(String);

        #[doc = concat!("Why a text is no [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($expected)]
        pub struct $bad;

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $bad;

            fn from_str(text: &str) -> Result<Self, $bad> {
                let fits: fn(&str) -> bool = $fits;
                ((1..=$longest).contains(&text.len()) && fits(text))
                    .then(|| Self(text.to_owned()))
                    .ok_or($bad)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $bad;

            fn try_from(text: String) -> Result<Self, $bad> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.escape_debug())
            }
        }
    };
}

pub(crate) use name_of;
