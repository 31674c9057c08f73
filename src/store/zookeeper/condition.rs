//! Compares a write's condition with what was read. Pure.

use crate::store::StoreError;
use crate::store::access::Condition;
use crate::watch::{Key, Version};

/// Identifies a node at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeVersion {
    /// The zxid of its creation; a node that is deleted and created again has another one.
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    /// The number of its changes, the only thing that ZooKeeper compares.
    pub(super) version: i32,
}

/// What exists at a path when a change is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    /// No node.
    Nothing,
    /// A node that the same transaction creates or sets; its versions are not known yet.
    Written,
    /// A node.
    Node(NodeVersion),
}

impl Present {
    /// The node that an operation under this condition expects; `None`: any.
    ///
    /// ZooKeeper compares only the number of changes, never a zxid. A node that is deleted, created again and changed as
    /// often as before, between the read here and the transaction, passes for the old one. The answer to a write has the
    /// creation zxid, so that such a write is at least reported; the answer to a deletion or check has none.
    pub(super) fn expected(self, condition: Condition) -> Option<NodeVersion> {
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
        Present::Node(NodeVersion { mzxid, .. }) => format!("version {mzxid}"),
    };
    Err(StoreError::Conflict { key: key.to_string(), expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_compared_with_the_present_node() {
        let key = Key::new("/a").unwrap();
        let at = |n| Condition::Version(Version::Revision(n));
        let node = |mzxid| Present::Node(NodeVersion { czxid: 1, mzxid, version: 0 });
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
