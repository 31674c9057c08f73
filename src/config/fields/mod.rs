//! The one table of every field: name, type, default, example and text for people.
//!
//! Reading, messages, manual pages and the JSON schema all come from here. What a value then means is `lower`'s.

mod daemon;
mod synonyms;
mod watch;

pub use daemon::{DAEMON, LOCAL, STORE, TLS};
pub use synonyms::synonym;
pub use watch::{NOT_DEFAULTS, WATCH};

pub(crate) use crate::watch::Word;

/// A field of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As it is written.
    pub name: &'static str,
    /// Another name that means the same.
    pub alias: Option<&'static str>,
    /// What may stand there.
    pub kind: Kind,
    /// What holds where it is not written, for people; `None` where it must be written.
    pub default: Option<&'static str>,
    /// A correct value, as TOML.
    pub example: &'static str,
    /// Whether `${name}` in it stands for `host` or a name of `[vars]`.
    pub expands: bool,
    /// What it means: plain sentences.
    pub doc: &'static str,
}

/// What may stand in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string without NUL.
    Text,
    /// A string that is not empty and has no control character.
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
    /// A whole number in this range, ends included.
    Integer {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// The same, or a word.
    IntegerOr {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
        /// The word that may stand there instead.
        word: Word,
    },
    /// A length of time, at most a year.
    Duration {
        /// Whether nothing at all may be asked for.
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
    /// `address:port`.
    Address,
    /// A store URL.
    Url,
    /// One of these words, or the URL of a log server.
    Log(&'static [Word]),
}

impl Kind {
    /// What may stand there, in words that end "expected …".
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
            Self::Address => "an address with a port, such as `\"127.0.0.1:9464\"`".into(),
            Self::Url => "a store URL".into(),
            Self::Log(words) => {
                format!("one of {}, `\"syslog://HOST:PORT\"`, `\"syslog+tcp://HOST:PORT\"`", listed(words))
            }
        }
    }
}

impl Field {
    /// A correct line: `timeout = "30s"`.
    pub fn sample(&self) -> String {
        format!("{} = {}", self.name, self.example)
    }

    /// The same field with `${name}` in its strings.
    const fn expanded(self) -> Self {
        Self { expands: true, ..self }
    }

    /// Whether this is what the field, or its other name, is called.
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

/// A field that must be written.
const fn required(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Field {
    Field { name, alias: None, kind, default: None, example, expands: false, doc }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_everything_is_explained() {
        for fields in [WATCH, DAEMON, STORE, TLS] {
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
