//! The only table of all fields: name, type, default, example and description.
//!
//! Parsing, messages, manual pages and the JSON schema all use it. `lower` gives the values their meaning.

mod daemon;
mod fleet;
mod synonyms;
mod watch;

pub use daemon::{DAEMON, LOCAL, STORE, TLS};
pub use fleet::{FLEET, FLEET_SETTINGS};
pub use synonyms::synonym;
pub use watch::{NOT_DEFAULTS, WATCH};

pub(crate) use crate::watch::Word;

/// A field of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the file.
    pub name: &'static str,
    /// An alias.
    pub alias: Option<&'static str>,
    /// The allowed values.
    pub kind: Kind,
    /// The default, for people; `None` if the field is required.
    pub default: Option<&'static str>,
    /// A valid value, as TOML.
    pub example: &'static str,
    /// Whether `${name}` in it stands for `host` or a name of `[vars]`.
    pub expands: bool,
    /// Its meaning, in plain sentences.
    pub doc: &'static str,
}

/// The allowed values of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string without NUL.
    Text,
    /// A non-empty string without control characters.
    Line,
    /// The name of a watch or store.
    Name,
    /// A key: 1 to 4096 bytes without NUL.
    Key,
    /// `true` or `false`.
    Flag,
    /// `true`, `false` or one of these words.
    FlagOr(&'static [Word]),
    /// One of these words.
    Choice(&'static [Word]),
    /// A whole number in this range, inclusive.
    Integer {
        /// The minimum.
        least: i64,
        /// The maximum.
        most: i64,
    },
    /// The same, or a word.
    IntegerOr {
        /// The minimum.
        least: i64,
        /// The maximum.
        most: i64,
        /// The word that is allowed instead.
        word: Word,
    },
    /// A duration of at most a year.
    Duration {
        /// Whether zero is allowed.
        zero: bool,
    },
    /// A signal by name, with or without `SIG`, or number.
    Signal,
    /// A string for the shell, or an array of a program and its arguments.
    Command,
    /// The text of a program that begins with `#!`.
    Program,
    /// A user or group by name or number.
    Account,
    /// An absolute path.
    Path,
    /// A file mode creation mask: octal digits in a string, or a number written `0o…`.
    Mask,
    /// A percentage below 100, as `"30%"`.
    Percent,
    /// A table of environment variables.
    Variables,
    /// A table of resource limits.
    Limits,
    /// An array of exit codes, not empty.
    ExitCodes,
    /// An array of globs on host names, not empty.
    Hosts,
    /// An array of globs on host names, which may be empty.
    Globs,
    /// A number of hosts, a percentage of them, or a word.
    Share(Word),
    /// An array of numbers and percentages of hosts.
    Shares,
    /// `address:port`.
    Address,
    /// A store URL.
    Url,
    /// One of these words, or the URL of a log server.
    Log(&'static [Word]),
}

impl Kind {
    /// The allowed values, to complete "expected …".
    pub fn expected(&self) -> String {
        let listed = |words: &[Word]| {
            words.iter().map(|word| format!("`\"{}\"`", word.word)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Text => "a string".into(),
            Self::Line => "a string that is not empty".into(),
            Self::Name => "a name".into(),
            Self::Key => "a key".into(),
            Self::Flag => "`true` or `false`".into(),
            Self::FlagOr(words) => format!("`true`, `false` or {}", listed(words)),
            Self::Choice(words) => format!("one of {}", listed(words)),
            Self::Integer { least, most } => format!("a whole number from {least} to {most}"),
            Self::IntegerOr { least, most, word } => {
                format!("a whole number from {least} to {most} or `\"{}\"`", word.word)
            }
            Self::Duration { .. } => {
                "a duration such as `\"250ms\"`, `\"30s\"`, `\"1h30m\"`, `\"1d\"` or a number of seconds"
                    .into()
            }
            Self::Signal => "a signal such as `\"HUP\"`, `\"SIGHUP\"` or `1`".into(),
            Self::Command => "a string for `/bin/sh -c`, or an array of a program and its arguments".into(),
            Self::Program => "the text of a program that begins with `#!`".into(),
            Self::Account => "a name or a number".into(),
            Self::Path => "an absolute path".into(),
            Self::Mask => "octal digits in quotes, such as `\"022\"`".into(),
            Self::Percent => "a percentage from `\"0%\"` to `\"99%\"`".into(),
            Self::Variables => "a table of environment variables, all strings".into(),
            Self::Limits => "a table of resource limits, whole numbers or `\"unlimited\"`".into(),
            Self::ExitCodes => "an array of exit codes, 0 to 255, that is not empty".into(),
            Self::Hosts => "an array of patterns for host names, such as `[\"web-*\", \"!web-1\"]`".into(),
            Self::Globs => "an array of patterns for host names, such as `[\"web-canary-*\"]`".into(),
            Self::Share(word) => format!(
                "a number of hosts from 1 to 1000000, a percentage from `\"1%\"` to `\"100%\"`, or `\"{}\"`",
                word.word
            ),
            Self::Shares => {
                "an array of numbers of hosts and percentages of them, such as `[1, \"10%\"]`".into()
            }
            Self::Address => "an address with a port, such as `\"127.0.0.1:9464\"`".into(),
            Self::Url => "a store URL".into(),
            Self::Log(words) => {
                format!("one of {}, `\"syslog://HOST:PORT\"`, `\"syslog+tcp://HOST:PORT\"`", listed(words))
            }
        }
    }
}

impl Field {
    /// A valid line: `timeout = "30s"`.
    pub fn sample(&self) -> String {
        format!("{} = {}", self.name, self.example)
    }

    /// The same field with `${name}` in its strings.
    const fn expanded(self) -> Self {
        Self { expands: true, ..self }
    }

    /// Whether this is the field's name or alias.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }
}

/// A field with a default.
const fn field(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    doc: &'static str,
) -> Field {
    Field { name, alias: None, kind, default: Some(default), example, expands: false, doc }
}

/// A required field.
const fn required(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Field {
    Field { name, alias: None, kind, default: None, example, expands: false, doc }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_everything_is_explained() {
        for fields in [WATCH, FLEET, DAEMON, FLEET_SETTINGS, STORE, TLS] {
            let names: BTreeSet<&str> =
                fields.iter().flat_map(|field| [Some(field.name), field.alias]).flatten().collect();
            let aliases = fields.iter().filter(|field| field.alias.is_some()).count();
            assert_eq!(names.len(), fields.len() + aliases);
            for field in fields {
                assert!(field.doc.ends_with('.') && field.doc.len() > 15, "{}: {}", field.name, field.doc);
            }
        }
    }
}
