//! Names of hosts and groups as they stand in keys: any text, percent-encoded, at most 64 bytes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest encoded name, in bytes.
const LONGEST: usize = 64;

/// Why a text cannot be a name in a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// There is nothing to name.
    #[error("the name is empty")]
    Empty,
    /// The key would be too long.
    #[error("the name `{0}` takes {1} bytes in a key, and 64 is the most: choose a shorter one")]
    TooLong(String, usize),
    /// It is not what encoding yields: two keys would name one host.
    #[error("`{0}` is not a percent-encoded name")]
    NotEncoded(String),
}

/// Percent-encodes every byte but `A-Z a-z 0-9 . _ -`. `.` and `..` are encoded as well: `ZooKeeper` refuses such nodes.
fn encode(text: &str) -> Result<Arc<str>, InvalidName> {
    let only_dots = matches!(text, "." | "..");
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => encoded.push(char::from(byte)),
            b'.' if !only_dots => encoded.push('.'),
            _ => {
                use fmt::Write as _;
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    match encoded.len() {
        0 => Err(InvalidName::Empty),
        1..=LONGEST => Ok(encoded.into()),
        length => Err(InvalidName::TooLong(text.chars().take(LONGEST).collect(), length)),
    }
}

fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn parse(encoded: &str) -> Result<Arc<str>, InvalidName> {
    let wrong = || InvalidName::NotEncoded(encoded.chars().take(LONGEST).collect());
    let canonical = encode(&decode(encoded).ok_or_else(wrong)?)?;
    if *canonical == *encoded { Ok(canonical) } else { Err(wrong()) }
}

macro_rules! name {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Encodes a name; fails where it is empty or takes more than 64 bytes.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                encode(text).map(Self)
            }

            /// Takes an encoded name out of a key; fails where encoding would not have yielded it.
            pub fn from_key(encoded: &str) -> Result<Self, InvalidName> {
                parse(encoded).map(Self)
            }

            /// As it stands in keys and records.
            pub fn as_key(&self) -> &str {
                &self.0
            }
        }

        /// As people wrote it. Not escaped: whoever prints it escapes it for where it goes.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(decode(&self.0).as_deref().unwrap_or(&self.0))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(encoded: String) -> Result<Self, InvalidName> {
                Self::from_key(&encoded)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(HostName, "The name of a host, which its keys end with.");
name!(GroupName, "The name of a group, below which its keys are.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_its_key() {
        for (text, key) in [
            ("web-17.example_1", "web-17.example_1"),
            ("a b", "a%20b"),
            ("a/b%", "a%2Fb%25"),
            ("ü\n", "%C3%BC%0A"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("...", "..."),
        ] {
            let name = HostName::new(text).unwrap();
            assert_eq!(name.as_key(), key);
            assert_eq!(name.to_string(), text);
            assert_eq!(HostName::from_key(key), Ok(name));
        }
    }

    #[test]
    fn a_key_holds_at_most_64_bytes() {
        assert!(HostName::new(&"a".repeat(64)).is_ok());
        assert!(HostName::new(&" ".repeat(21)).is_ok());
        for wrong in ["a".repeat(65), " ".repeat(22), String::new()] {
            assert!(HostName::new(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn two_keys_never_name_one_host() {
        for wrong in ["%61", "%2f", "%", "%2", "%zz", "a/b", "ü", ".", "%FF", ""] {
            assert!(HostName::from_key(wrong).is_err(), "{wrong:?}");
        }
    }
}
