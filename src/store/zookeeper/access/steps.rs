//! Plans the operations of a transaction from the changes and the nodes that exist. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::store::StoreError;
use crate::store::access::{Change, Condition, PutOptions};
use crate::store::zookeeper::condition::{NodeVersion, Present, check};
use crate::store::zookeeper::path::ancestors;

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Create {
        path: String,
        value: Bytes,
        options: PutOptions,
    },
    Set {
        path: String,
        value: Bytes,
        expected: Option<NodeVersion>,
    },
    Delete {
        path: String,
        expected: Option<NodeVersion>,
    },
    /// Fails unless the node is still this one.
    Check {
        path: String,
        expected: NodeVersion,
    },
}

/// Plans operations that make these changes to the nodes that exist now, and that fail if those have changed meanwhile.
pub(super) fn steps(
    changes: &[Change],
    paths: Vec<String>,
    mut there: BTreeMap<String, Present>,
) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    let mut passing = Vec::new();
    for (change, path) in changes.iter().zip(paths) {
        let present = there.get(&path).copied().unwrap_or(Present::Nothing);
        match change {
            Change::Put { key, value, condition, options } => {
                check(key, present, *condition)?;
                let replaced = options.tenure.is_some() && present != Present::Nothing;
                if replaced {
                    // If only its value were set, the node would still belong to its old session.
                    steps.push(Step::Delete { path: path.clone(), expected: present.expected(*condition) });
                }
                let value = value.clone();
                if replaced || present == Present::Nothing {
                    make_ancestors(&path, &mut there, &mut steps);
                    steps.push(Step::Create { path: path.clone(), value, options: *options });
                } else {
                    let expected = present.expected(*condition);
                    steps.push(Step::Set { path: path.clone(), value, expected });
                }
                there.insert(path, Present::Written);
            }
            Change::Delete { key, condition } => {
                check(key, present, *condition)?;
                if there.remove(&path).is_some() {
                    steps.push(Step::Delete { path, expected: present.expected(*condition) });
                }
            }
            Change::Require { key, condition } => {
                check(key, present, *condition)?;
                match (present, condition) {
                    (Present::Node(expected), Condition::Version(_)) => {
                        steps.push(Step::Check { path, expected });
                    }
                    // ZooKeeper has no check for an absence: create the node, which fails if it exists, and delete it again
                    // in the same transaction.
                    (Present::Nothing, Condition::Absent) => {
                        let value = Bytes::new();
                        make_ancestors(&path, &mut there, &mut steps);
                        steps.push(Step::Create {
                            path: path.clone(),
                            value,
                            options: PutOptions::default(),
                        });
                        passing.push(Step::Delete { path, expected: None });
                    }
                    (Present::Nothing | Present::Written | Present::Node(_), _) => {}
                }
            }
        }
        // Before a later change writes the same key.
        steps.append(&mut passing);
    }
    Ok(steps)
}

/// The answer to a transaction has the zxid only of nodes that it sets. If it only creates nodes, the value of the last one is
/// set in a step of its own.
pub(super) fn set_last_created(steps: &mut Vec<Step>) {
    let sets = steps.iter().any(|step| matches!(step, Step::Set { .. }));
    let stays = |made: &usize| match steps.get(*made) {
        Some(Step::Create { path, .. }) => !steps
            .iter()
            .skip(*made)
            .any(|step| matches!(step, Step::Delete { path: deleted, .. } if deleted == path)),
        Some(Step::Set { .. } | Step::Delete { .. } | Step::Check { .. }) | None => false,
    };
    let made = (0..steps.len()).rev().find(stays);
    if let (false, Some(Step::Create { path, value, .. })) = (sets, made.and_then(|made| steps.get_mut(made)))
    {
        let set = Step::Set { path: path.clone(), value: std::mem::take(value), expected: None };
        steps.push(set);
    }
}

/// Creates the missing nodes above a path.
fn make_ancestors(path: &str, there: &mut BTreeMap<String, Present>, steps: &mut Vec<Step>) {
    for above in ancestors(path) {
        if !there.contains_key(above) {
            let (path, options) = (above.to_owned(), PutOptions::default());
            steps.push(Step::Create { path, value: Bytes::new(), options });
            there.insert(above.to_owned(), Present::Written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TenureId;
    use crate::store::access::NodeAcl;
    use crate::watch::{Key, Version};

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn node(mzxid: i64, version: i32) -> Present {
        Present::Node(NodeVersion { czxid: 1, mzxid, version })
    }

    /// The operations for changes where these nodes exist.
    fn planned(changes: &[Change], nodes: &[(&str, Present)]) -> Result<Vec<Step>, StoreError> {
        let paths = changes.iter().map(|change| change.key().to_string()).collect();
        let there = nodes.iter().map(|&(path, node)| (path.to_owned(), node)).collect();
        let mut steps = steps(changes, paths, there)?;
        set_last_created(&mut steps);
        Ok(steps)
    }

    #[test]
    fn a_requirement_is_part_of_the_transaction() {
        let require = |condition| Change::Require { key: key("/fence"), condition };
        let at = |zxid| Condition::Version(Version::Revision(zxid));
        let put = Change::put(key("/a"), "x", Condition::Any);
        let nodes = [("/fence", node(7, 3)), ("/a", node(5, 0))];
        let steps = planned(&[require(at(7)), put.clone()], &nodes).unwrap();
        let Present::Node(expected) = node(7, 3) else { panic!() };
        assert_eq!(steps[0], Step::Check { path: "/fence".to_owned(), expected });
        assert!(matches!(&steps[1..], [Step::Set { .. }]), "{steps:?}");
        assert!(matches!(planned(&[require(at(6))], &nodes), Err(StoreError::Conflict { .. })));
        assert!(matches!(planned(&[require(Condition::Absent)], &nodes), Err(StoreError::Conflict { .. })));

        let steps = planned(&[require(Condition::Absent), put], &nodes[1..]).unwrap();
        assert!(
            matches!(&steps[..], [Step::Create { path, .. }, Step::Delete { path: again, .. }, Step::Set { .. }]
                if path == "/fence" && again == "/fence"),
            "{steps:?}"
        );
    }

    #[test]
    fn a_key_of_a_tenure_replaces_an_existing_node() {
        let options = PutOptions { tenure: Some(TenureId(9)), acl: NodeAcl::Creator };
        let condition = Condition::Version(Version::Revision(7));
        let change = Change::Put { key: key("/alive"), value: "me".into(), condition, options };
        let steps = planned(&[change], &[("/alive", node(7, 3))]).unwrap();
        let [
            Step::Delete { expected: Some(expected), .. },
            Step::Create { options: made, .. },
            Step::Set { .. },
        ] = &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!((expected.version, *made), (3, options));
    }

    #[test]
    fn the_answer_to_a_transaction_tells_its_zxid() {
        let changes = ["/x/a", "/x/b"].map(|name| Change::put(key(name), "v", Condition::Absent));
        let steps = planned(&changes, &[]).unwrap();
        let [
            Step::Create { .. },
            Step::Create { value: first, .. },
            Step::Create { value: second, .. },
            last,
        ] = &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!((&first[..], &second[..]), (b"v".as_slice(), b"".as_slice()));
        assert_eq!(*last, Step::Set { path: "/x/b".to_owned(), value: "v".into(), expected: None });
        let deletes = [Change::Delete { key: key("/x"), condition: Condition::Any }];
        assert_eq!(planned(&deletes, &[("/x", node(1, 0))]).unwrap().len(), 1);
    }
}
