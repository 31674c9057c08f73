//! What must hold for a write, compared with what was read. Pure.

use crate::store::StoreError;
use crate::store::access::Condition;
use crate::watch::{Key, Version};

/// What tells a node, as it was read, from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// The zxid of its making, which a node that is made again does not share.
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    /// The number of its changes: the only thing that ZooKeeper compares.
    pub(super) version: i32,
}

/// What is at a path when a change comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    /// No node.
    Nothing,
    /// A node that the same transaction makes or sets: its versions are not known yet.
    Written,
    /// A node.
    Node(Identity),
}

impl Present {
    /// The node that an operation under a condition asks for; `None` is any.
    ///
    /// ZooKeeper compares no zxid, neither in an operation nor in a transaction's check, only the number of changes: a
    /// node that is deleted and made again, in the instant between its reading here and the transaction, and then
    /// changed as often as before, passes for the old one. The answer to a write tells the node's making, so that
    /// such a write is at least reported. The answer to a deletion tells nothing.
    pub(super) fn expected(self, condition: Condition) -> Option<Identity> {
        match (self, condition) {
            (Self::Node(identity), Condition::Version(_)) => Some(identity),
            (Self::Nothing | Self::Written, Condition::Version(_))
            | (Self::Nothing | Self::Written | Self::Node(_), Condition::Any | Condition::Absent) => None,
        }
    }
}

/// Checks a condition against what is there.
pub(super) fn check(key: &Key, present: Present, condition: Condition) -> Result<(), StoreError> {
    let expected = match (condition, present) {
        (Condition::Any, _) | (Condition::Absent, Present::Nothing) => return Ok(()),
        (Condition::Version(version), Present::Node(found)) if version == Version::Revision(found.mzxid) => {
            return Ok(());
        }
        (Condition::Absent, _) => "no key".to_owned(),
        (Condition::Version(version), _) => format!("version {version}"),
    };
    let found = match present {
        Present::Nothing => "no key".to_owned(),
        Present::Written => "what was just written".to_owned(),
        Present::Node(Identity { mzxid, .. }) => format!("version {mzxid}"),
    };
    Err(StoreError::Conflict { key: key.to_string(), expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_about_what_is_there() {
        let key = Key::new("/a").unwrap();
        let at = |n| Condition::Version(Version::Revision(n));
        let node = |mzxid| Present::Node(Identity { czxid: 1, mzxid, version: 0 });
        for (present, condition, holds) in [
            (Present::Nothing, Condition::Any, true),
            (Present::Nothing, Condition::Absent, true),
            (Present::Nothing, at(5), false),
            (node(5), Condition::Any, true),
            (node(5), Condition::Absent, false),
            (node(5), at(5), true),
            (node(6), at(5), false),
            (Present::Written, at(5), false),
            (Present::Written, Condition::Absent, false),
        ] {
            assert_eq!(check(&key, present, condition).is_ok(), holds, "{present:?} {condition:?}");
        }
    }
}
