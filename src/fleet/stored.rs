//! Values of the fleet's keys as a reader finds them.

use std::sync::Arc;

use super::record::{Record, Unreadable};
use super::{GroupKey, KeyState, Revision, Value};
use crate::store::Listing;
use crate::watch::Version;

/// The revision of a version. Fleets are in stores whose versions are revisions.
pub fn revision(version: Version) -> Revision {
    match version {
        Version::Revision(revision) => Revision(revision),
        Version::Hash(_) => Revision::ABSENT,
    }
}

/// Reads a key of a listing of the group, by its path below the group. `None`: not a key of ours.
fn listed(path: &str, value: Option<&[u8]>, version: Version) -> Option<(GroupKey, KeyState)> {
    let key = GroupKey::parse(path)?;
    let value = decode(&key, value?);
    Some((key, KeyState { at: revision(version), value: Some(value) }))
}

/// Reads all keys of a listing of the group.
pub fn entries(listing: &Listing) -> Vec<(GroupKey, KeyState)> {
    let entries = listing.entries.iter();
    entries.filter_map(|(path, entry)| listed(path, entry.value.as_deref(), entry.version)).collect()
}

/// Reads the value of a key. What is no record of ours is a value as well.
pub fn decode(key: &GroupKey, value: &[u8]) -> Value {
    fn read<R: Record>(value: &[u8], wrap: impl FnOnce(Arc<R>) -> Value) -> Value {
        match R::decode(value) {
            Ok(record) => wrap(Arc::new(record)),
            Err(Unreadable::Later(_)) => Value::Later,
            Err(Unreadable::TooLong(..) | Unreadable::Garbage(_)) => Value::Unreadable,
        }
    }
    match key {
        GroupKey::Host(_) => read(value, Value::Host),
        GroupKey::Alive(_) => read(value, Value::Alive),
        GroupKey::Permit(_) => read(value, Value::Permit),
        GroupKey::Twin(..) => read(value, Value::Twin),
        GroupKey::Rollout => read(value, Value::Rollout),
        GroupKey::Summary => read(value, Value::Summary),
        GroupKey::Conductor => read(value, Value::Conductor),
        GroupKey::Control => read(value, Value::Control),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::ControlRecord;

    #[test]
    fn a_value_is_a_record_or_says_that_it_is_none() {
        let control = Arc::new(ControlRecord::default());
        assert_eq!(decode(&GroupKey::Control, br#"{"format":1}"#), Value::Control(control));
        assert_eq!(decode(&GroupKey::Control, br#"{"format":2}"#), Value::Later);
        for wrong in [&b"garbage"[..], &vec![b' '; 1 << 20], br#"{"format":1}"#] {
            assert_eq!(decode(&GroupKey::Rollout, wrong), Value::Unreadable);
        }
    }
}
