//! What the fleet's records refer to: states, permits, revisions, tenures, and moments of one machine's clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::digest;
use crate::watch::{Content, Version, WatchType};

/// Text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct InvalidId {
    text: String,
    wanted: &'static str,
}

macro_rules! text_id {
    ($id:ident, $wanted:literal) => {
        impl TryFrom<String> for $id {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }

        impl FromStr for $id {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::read(text)
                    .ok_or_else(|| InvalidId { text: text.chars().take(80).collect(), wanted: $wanted })
            }
        }
    };
}

/// A state of a target that all hosts name alike: `VERSION/DIGEST16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateId {
    /// The store's mark of it.
    pub version: Version,
    /// The first 16 hexadecimal digits of the ledger's digest of the content.
    pub digest: u64,
}

text_id!(StateId, "a state such as 1042/0123456789abcdef");

/// What makes two states the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StateIdentity {
    /// Version and content: the same value written again is a new state.
    #[default]
    Data,
    /// Content only: after a deletion, hosts see different highest revisions of one tree.
    Content,
}

impl StateIdentity {
    /// Of a watch's type.
    pub fn of(watch_type: WatchType) -> Self {
        match watch_type {
            WatchType::Data => Self::Data,
            WatchType::Children | WatchType::Tree => Self::Content,
        }
    }
}

impl StateId {
    /// The id of a content under a version.
    pub fn new(version: Version, content: &Content) -> Self {
        Self { version, digest: short(content) }
    }

    /// Whether both are one state. Deletions are the same whenever they happened; a value that was not read is
    /// told apart by its version only.
    pub fn is_same(&self, other: &Self, identity: StateIdentity) -> bool {
        match identity {
            StateIdentity::Content => self.digest == other.digest,
            StateIdentity::Data if self.version == other.version => {
                let unread = short(&Content::Unread);
                self.digest == other.digest || self.digest == unread || other.digest == unread
            }
            StateIdentity::Data => self.digest == other.digest && self.digest == short(&Content::Absent),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (version, digest) = text.split_once('/')?;
        let hexadecimal =
            digest.len() == 16 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let digest = u64::from_str_radix(digest, 16).ok().filter(|_| hexadecimal)?;
        Some(Self { version: version.parse().ok()?, digest })
    }
}

/// The first 64 bits of the ledger's digest. The two contents without bytes are asked for at every comparison.
fn short(content: &Content) -> u64 {
    const ABSENT: u64 = 0x3e70_77fd_2f66_d689;
    const UNREAD: u64 = 0xa536_aa3c_ede6_ea3c;
    match content {
        Content::Absent => ABSENT,
        Content::Unread => UNREAD,
        Content::Value(_) | Content::Children(_) | Content::Tree(_) => of_digest(content),
    }
}

fn of_digest(content: &Content) -> u64 {
    digest(content).get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.version, self.digest)
    }
}

/// The store's mark of the last write of a key: etcd's `mod_revision`, `ZooKeeper`'s `mzxid`. Rises with each write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Revision(pub i64);

impl Revision {
    /// The revision of a key that does not exist.
    pub const ABSENT: Self = Self(0);
}

/// An etcd lease or a `ZooKeeper` session: a key under it vanishes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenureId(pub i64);

/// A moment on one machine's `CLOCK_BOOTTIME`, which goes on while the machine sleeps. Never stored, never
/// compared with another machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime(pub Duration);

impl BootTime {
    /// The moment so much later.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// How long ago an earlier moment was; zero for a later one.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn data(version: i64, value: &'static str) -> StateId {
        StateId::new(Version::Revision(version), &Content::Value(Bytes::from(value)))
    }

    #[test]
    fn ids_are_written_out_as_the_contract_says() {
        let state = StateId { version: Version::Revision(1042), digest: 0xab };
        assert_eq!(state.to_string(), "1042/00000000000000ab");
        assert_eq!("1042/00000000000000ab".parse(), Ok(state));
        for wrong in
            ["", "1042", "1042/ab", "1042/00000000000000AB", "x/00000000000000ab", "1/+0000000000000ab"]
        {
            assert!(wrong.parse::<StateId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_digest_is_that_of_the_ledger() {
        for content in [Content::Absent, Content::Unread] {
            assert_eq!(format!("{:016x}", short(&content)), digest(&content)[..16], "{content:?}");
        }
    }

    #[test]
    fn equal_states_are_those_that_need_no_second_run() {
        let both = [StateIdentity::Data, StateIdentity::Content];
        assert!(both.iter().all(|identity| data(1, "a").is_same(&data(1, "a"), *identity)));
        assert!(!data(1, "a").is_same(&data(2, "a"), StateIdentity::Data), "the same value written again");
        assert!(
            !data(1, "a").is_same(&data(1, "b"), StateIdentity::Data),
            "a restored store uses a revision twice"
        );
        assert!(data(1, "a").is_same(&data(2, "a"), StateIdentity::Content));
        let gone = |version| StateId::new(Version::Revision(version), &Content::Absent);
        assert!(both.iter().all(|identity| gone(1).is_same(&gone(2), *identity)));
        let unread = StateId::new(Version::Revision(1), &Content::Unread);
        assert!(
            unread.is_same(&data(1, "a"), StateIdentity::Data)
                && !unread.is_same(&data(2, "a"), StateIdentity::Data)
        );
    }
}
