//! A subtree of a directory as it was last seen, kept up to date entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::ops::Bound;
use std::sync::Arc;

use super::content::{NOTHING, entry_mark, list, read_file};
use super::interest::{Dependent, Hold, Interests, Scope};
use super::place::{join, key_name, split};
use super::threads::Pulse;
use super::walk::{DirectoryAt, Found, Unreadable, walk};
use crate::store::StoreError;
use crate::store::session::TargetId;
use crate::watch::{Content, ContentHash, Detail, Subtree, Version};

/// Entries that one tree may have: a link to `/` by mistake must not fill the memory.
const MOST_ENTRIES: usize = 1_000_000;

/// What is known of a subtree.
#[derive(Debug)]
pub(super) struct Tree {
    target: TargetId,
    detail: Detail,
    /// The values; where those are not wanted, the mark of each entry in its place.
    entries: Subtree,
    sum: u128,
    directories: BTreeMap<Arc<str>, DirectoryAt>,
    holds: BTreeMap<Arc<str>, Vec<Hold>>,
    pulse: Pulse,
}

impl Tree {
    pub(super) fn new(target: TargetId, detail: Detail, pulse: Pulse) -> Self {
        Self {
            target,
            detail,
            entries: Subtree::new(),
            sum: 0,
            directories: BTreeMap::new(),
            holds: BTreeMap::new(),
            pulse,
        }
    }

    /// The state as it is known now.
    pub(super) fn state(&self) -> (Version, Content) {
        if self.entries.is_empty() {
            return (NOTHING, Content::Absent);
        }
        let content = match self.detail {
            Detail::Values => Content::Tree(self.entries.clone()),
            Detail::Versions => Content::Unread,
        };
        (Version::Hash(ContentHash::new(self.sum)), content)
    }

    /// Reads everything, after a [`release`](Self::release), from what the walk to its key found.
    pub(super) fn rebuild(
        &mut self,
        interests: &mut Interests,
        holds: Vec<Hold>,
        found: Found,
    ) -> Result<(), StoreError> {
        self.holds.insert("".into(), holds);
        self.take(interests, &"".into(), found)
    }

    /// Looks again at entries; those below another one of them are covered by it.
    pub(super) fn refresh(
        &mut self,
        interests: &mut Interests,
        places: &BTreeSet<Arc<str>>,
    ) -> Result<(), StoreError> {
        let mut done: Option<&Arc<str>> = None;
        for at in places {
            if done.is_some_and(|above| is_below(at, above)) {
                continue;
            }
            let Some((above, name)) = split(at) else { continue };
            // An entry whose directory is not known went with it, or comes with it.
            if let Some(directory) = self.directories.get(above).cloned() {
                self.examine(interests, &directory, at, OsStr::new(name))?;
                done = Some(at);
            }
        }
        Ok(())
    }

    fn examine(
        &mut self,
        interests: &mut Interests,
        directory: &DirectoryAt,
        at: &Arc<str>,
        name: &OsStr,
    ) -> Result<(), StoreError> {
        self.forget(interests, at);
        let dependent = self.dependent(at);
        let mut holds = Vec::new();
        let found = walk(interests, &dependent, &mut holds, &directory.path, [name], Unreadable::Refused);
        self.holds.insert(at.clone(), holds);
        self.take(interests, at, found?)
    }

    fn take(&mut self, interests: &mut Interests, at: &Arc<str>, found: Found) -> Result<(), StoreError> {
        match found {
            Found::Missing | Found::Special(_) => Ok(()),
            Found::File(path) => {
                if let Some(value) = read_file(&path)? {
                    self.insert(at, Some(&value))?;
                }
                Ok(())
            }
            Found::Directory(directory) => self.scan(interests, at, &directory),
        }
    }

    fn scan(
        &mut self,
        interests: &mut Interests,
        at: &Arc<str>,
        directory: &DirectoryAt,
    ) -> Result<(), StoreError> {
        self.insert(at, None)?;
        if self.is_circle(at, directory) {
            return Ok(());
        }
        let dependent = self.dependent(at);
        let holds = self.holds.entry(at.clone()).or_default();
        if !interests.depend(&directory.path, Scope::Entries, &dependent, holds)? {
            return Ok(());
        }
        let Some(names) = list(&directory.path)? else { return Ok(()) };
        self.directories.insert(at.clone(), directory.clone());
        for name in &names {
            let Some(key) = key_name(name) else { continue };
            let below: Arc<str> = join(at, key).into();
            let path = directory.path.join(name);
            // The usual entry, a file, depends on nothing but the directory that is watched already.
            let metadata = std::fs::symlink_metadata(&path);
            if metadata.is_ok_and(|metadata| metadata.is_file()) {
                self.take(interests, &below, Found::File(path))?;
            } else {
                self.examine(interests, directory, &below, name)?;
            }
        }
        Ok(())
    }

    /// Whether a directory is one of those above: a symbolic link that leads back up.
    fn is_circle(&self, at: &str, directory: &DirectoryAt) -> bool {
        let mut place = at;
        while let Some((above, _)) = split(place) {
            if self.directories.get(above).is_some_and(|known| known.identity == directory.identity) {
                return true;
            }
            place = above;
        }
        false
    }

    fn dependent(&self, at: &Arc<str>) -> Dependent {
        Dependent { target: self.target, at: at.clone() }
    }

    fn insert(&mut self, at: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        self.pulse.beat();
        if self.entries.len() >= MOST_ENTRIES {
            return Err(StoreError::Refused {
                what: "read the tree".to_owned(),
                why: format!(
                    "it has more than {MOST_ENTRIES} entries; does a symbolic link in it lead somewhere large?"
                ),
            });
        }
        let mark = entry_mark(at, value);
        self.sum = self.sum.wrapping_add(mark);
        match self.detail {
            Detail::Values => self.entries.insert(at, value),
            Detail::Versions => self.entries.insert(at, Some(&mark.to_le_bytes())),
        }
        Ok(())
    }

    /// What an entry was counted with.
    fn mark(&self, at: &str, held: Option<&[u8]>) -> u128 {
        match (self.detail, held.map(<[u8; 16]>::try_from)) {
            (Detail::Versions, Some(Ok(mark))) => u128::from_le_bytes(mark),
            (Detail::Values | Detail::Versions, _) => entry_mark(at, held),
        }
    }

    /// Forgets an entry and all below it.
    fn forget(&mut self, interests: &mut Interests, at: &str) {
        let entries = self.entries.from(at).take_while(|(path, _)| path.starts_with(at));
        let gone: Vec<(Arc<str>, u128)> = entries
            .filter(|(path, _)| is_below(path, at))
            .map(|(path, value)| (path.into(), self.mark(path, value)))
            .collect();
        for (path, mark) in gone {
            self.sum = self.sum.wrapping_sub(mark);
            self.entries.remove(&path);
        }
        for gone in keys_from(&self.directories, at) {
            self.directories.remove(&gone);
        }
        for gone in keys_from(&self.holds, at) {
            if let Some(holds) = self.holds.remove(&gone) {
                interests.release(&self.dependent(&gone), holds);
            }
        }
    }

    /// Forgets everything and gives all dependences back.
    pub(super) fn release(&mut self, interests: &mut Interests) {
        self.forget(interests, "");
    }
}

fn is_below(at: &str, above: &str) -> bool {
    above.is_empty() || at.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The keys at and below a place. What sorts between `a` and `a/b` (`a-`, `a!`) is passed over.
fn keys_from<V>(map: &BTreeMap<Arc<str>, V>, at: &str) -> Vec<Arc<str>> {
    if at.is_empty() {
        return map.keys().cloned().collect();
    }
    let mut keys: Vec<Arc<str>> = map.get_key_value(at).map(|(key, _)| key.clone()).into_iter().collect();
    // `0` follows `/` in ASCII, and so ends the range of what begins with `at/`.
    let (from, to) = (format!("{at}/"), format!("{at}0"));
    let range = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
    keys.extend(map.range::<str, _>(range).map(|(key, _)| key.clone()));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_covers_itself_and_what_is_below_but_no_neighbour() {
        let map: BTreeMap<Arc<str>, u8> =
            ["a", "a!", "a-b", "a/b", "a/b/c", "a0", "ab"].into_iter().map(|at| (at.into(), 0)).collect();
        let keys: Vec<String> = keys_from(&map, "a").iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["a", "a/b", "a/b/c"]);
        assert_eq!(keys_from(&map, "").len(), map.len());
        for (at, above, expected) in
            [("a/b", "a", true), ("a", "a", true), ("ab", "a", false), ("a-b", "a", false), ("x", "", true)]
        {
            assert_eq!(is_below(at, above), expected, "{at} below {above}");
        }
    }
}
