//! Names of watches and stores.

use std::fmt;
use std::sync::Arc;

/// A name that cannot be shown as one word of a status line or used on a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 128 characters: letters, digits, `.`, `_`, `-`, `@`, `:` or `/`, and does not begin with `-`"
)]
pub struct InvalidName;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts 1 to 128 of letters, digits and `._-@:/`.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                let allowed = |c: char| c.is_alphanumeric() || "._-@:/".contains(c);
                let fits = (1..=128).contains(&name.chars().count());
                if fits && !name.starts_with('-') && name.chars().all(allowed) {
                    Ok(Self(name.into()))
                } else {
                    Err(InvalidName)
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

#[cfg(feature = "daemon")]
name! {
    /// The unique name of a watch in logs, status and ledger.
    WatchName
}
name! {
    /// The name of a store in `twitcher.conf`.
    StoreName
}
#[cfg(feature = "daemon")]
name! {
    /// The name of a mutex. Using a name creates the mutex.
    MutexName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_word() {
        for good in ["git", "git-2", "a/b", "web@17", "Ä.b_c:d"] {
            assert!(WatchName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "-x", "a\nb", "a\0", &"x".repeat(129)] {
            assert!(WatchName::new(bad).is_err(), "{bad:?}");
        }
    }
}
