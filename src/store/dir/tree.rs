//! A subtree of a directory as last seen, kept up to date entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::content::{NOTHING, entry_mark, read_file, size};
use super::interest::{Dependent, FileRole, Hold, Interests, Scope, Unreadable};
use super::place::{join, key_name, split};
use super::resolve::{FileId, Found, FoundDirectory, Kind, ResolveError, resolve};
use super::threads::Pulse;
use crate::store::session::TargetId;
use crate::store::{StoreError, TreeLimits};
use crate::watch::{Content, ContentHash, Detail, Subtree, Version};

/// Entries that are left out, one line each, at once.
const MOST_TOLD: usize = 5;

/// Files of a tree that get an inotify watch of their own, although they have only one name.
const MOST_FILES: usize = 4096;

/// A directory that was read or is about to be. No descriptor is kept: a tree may have more directories than a process may
/// have descriptors.
#[derive(Debug, Clone)]
struct KnownDirectory {
    path: PathBuf,
    identity: FileId,
}

impl KnownDirectory {
    fn of(directory: &FoundDirectory) -> Result<Self, ResolveError> {
        Ok(Self { path: directory.path.clone(), identity: directory.identity()? })
    }

    /// `None` if another directory, or none, is there now: its event is on the way.
    fn open(&self) -> Result<Option<FoundDirectory>, ResolveError> {
        FoundDirectory::again(&self.path, self.identity)
    }
}

/// The known state of a subtree.
#[derive(Debug)]
pub(super) struct Tree {
    target: TargetId,
    detail: Detail,
    limits: TreeLimits,
    /// The values; where those are not wanted, the mark of each entry in its place.
    entries: Subtree,
    sum: u128,
    /// Bytes of the values that are held.
    bytes: u64,
    directories: BTreeMap<Arc<str>, KnownDirectory>,
    /// Directories still to be read. A list instead of recursion: the store determines the depth.
    ahead: Vec<(Arc<str>, KnownDirectory)>,
    /// Omitted entries, and why.
    blocked: BTreeMap<Arc<str>, StoreError>,
    /// Those that have been logged.
    told: BTreeSet<Arc<str>>,
    holds: BTreeMap<Arc<str>, Vec<Hold>>,
    /// How many of the holds are watches of single files.
    files: usize,
    pulse: Pulse,
}

impl Tree {
    pub(super) fn new(target: TargetId, detail: Detail, limits: TreeLimits, pulse: Pulse) -> Self {
        Self {
            target,
            detail,
            limits,
            entries: Subtree::new(),
            sum: 0,
            bytes: 0,
            directories: BTreeMap::new(),
            ahead: Vec::new(),
            blocked: BTreeMap::new(),
            told: BTreeSet::new(),
            holds: BTreeMap::new(),
            files: 0,
            pulse,
        }
    }

    /// The currently known state.
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

    /// Reads everything, after a [`release`](Self::release), starting at the result of the walk to its key.
    pub(super) fn rebuild(
        &mut self,
        interests: &mut Interests,
        holds: Vec<Hold>,
        found: Result<Found, StoreError>,
        until: Instant,
    ) -> Result<(), StoreError> {
        let top: Arc<str> = "".into();
        self.holds.insert(top.clone(), holds);
        self.take(interests, &top, found?)?;
        self.read_ahead(interests, until)
    }

    /// Whether everything has been read. Reading stops at a given time, so that a large tree delays no other target.
    pub(super) fn is_read(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Reads entries again, and continues with the directories still to be read. An entry below another one of them is covered
    /// by it.
    pub(super) fn refresh(
        &mut self,
        interests: &mut Interests,
        places: &BTreeSet<Arc<str>>,
        until: Instant,
    ) -> Result<(), StoreError> {
        let mut done: Option<&Arc<str>> = None;
        for at in places {
            if done.is_some_and(|above| is_below(at, above)) {
                continue;
            }
            let Some((above, name)) = split(at) else { continue };
            // An entry in an unknown directory was removed or will be read with that directory.
            if let Some(directory) = self.directories.get(above).cloned() {
                self.forget(interests, at);
                let examined = match directory.open() {
                    Ok(Some(directory)) => self.examine(interests, &directory, at, OsStr::new(name)),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                self.or_left_out(at, examined)?;
                done = Some(at);
            }
        }
        self.read_ahead(interests, until)
    }

    /// Reads an entry that is a link, or unknown.
    fn examine(
        &mut self,
        interests: &mut Interests,
        directory: &FoundDirectory,
        at: &Arc<str>,
        name: &OsStr,
    ) -> Result<(), ResolveError> {
        let dependent = self.dependent(at);
        let mut holds = Vec::new();
        let found = resolve(directory, [name], |path, name| {
            interests.depend_on_name(path, name, &dependent, &mut holds, Unreadable::Refused)
        });
        self.holds.insert(at.clone(), holds);
        let found = found?;
        if let Found::Directory(directory) = &found
            && self.is_circle(at, directory.identity()?)
        {
            return self.insert(at, None).map_err(ResolveError::Failed);
        }
        self.take(interests, at, found)
    }

    fn take(&mut self, interests: &mut Interests, at: &Arc<str>, found: Found) -> Result<(), ResolveError> {
        match found {
            Found::Missing | Found::Special(_) => Ok(()),
            Found::File(file) => {
                // Before a byte of it is read.
                let bytes = self.bytes.saturating_add(size(&file).map_err(ResolveError::Failed)?);
                self.limits.admit(bytes, self.entries.len()).map_err(ResolveError::Failed)?;
                let dependent = self.dependent(at);
                let holds = self.holds.entry(at.clone()).or_default();
                let role = if self.files < MOST_FILES { FileRole::Entry } else { FileRole::EntryOfMany };
                let before = holds.len();
                interests.depend_on_file(&file, role, &dependent, holds);
                self.files += holds.len() - before;
                if holds.is_empty() {
                    self.holds.remove(at);
                }
                let value = read_file(&file).map_err(ResolveError::Failed)?;
                self.insert(at, Some(&value)).map_err(ResolveError::Failed)
            }
            Found::Directory(directory) => {
                self.ahead.push((at.clone(), KnownDirectory::of(&directory)?));
                self.insert(at, None).map_err(ResolveError::Failed)
            }
        }
    }

    /// A directory reached without a link, which cannot be an ancestor.
    fn take_directory(
        &mut self,
        above: &FoundDirectory,
        at: &Arc<str>,
        name: &OsStr,
    ) -> Result<(), ResolveError> {
        if let Some((_, stat)) = above.open_name(name)?
            && Kind::of(&stat) == Kind::Directory
        {
            let known = KnownDirectory { path: above.path.join(name), identity: (stat.st_dev, stat.st_ino) };
            self.ahead.push((at.clone(), known));
            self.insert(at, None).map_err(ResolveError::Failed)?;
        }
        Ok(())
    }

    fn read_ahead(&mut self, interests: &mut Interests, until: Instant) -> Result<(), StoreError> {
        while let Some((at, known)) = self.ahead.pop() {
            let scanned = self.scan(interests, &at, &known);
            self.or_left_out(&at, scanned)?;
            if Instant::now() >= until && !self.is_read() {
                return Ok(());
            }
        }
        self.tell_of_blocked();
        Ok(())
    }

    /// Reads one directory; its subdirectories are queued.
    fn scan(
        &mut self,
        interests: &mut Interests,
        at: &Arc<str>,
        known: &KnownDirectory,
    ) -> Result<(), ResolveError> {
        let dependent = self.dependent(at);
        let holds = self.holds.entry(at.clone()).or_default();
        if !interests.depend(&known.path, Scope::Entries, &dependent, holds)? {
            return Ok(());
        }
        let Some(directory) = known.open()? else { return Ok(()) };
        self.directories.insert(at.clone(), known.clone());
        for (name, kind) in directory.list()? {
            let Some(key) = key_name(&name) else { continue };
            let below: Arc<str> = join(at, key).into();
            let taken = match kind {
                // An ordinary entry depends only on the directory, which is already watched.
                Kind::File => match directory.open_file(&name) {
                    Ok(Some(file)) => self.take(interests, &below, Found::File(file)),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
                Kind::Directory => self.take_directory(&directory, &below, &name),
                Kind::Link => self.examine(interests, &directory, &below, &name),
                Kind::Special => Ok(()),
            };
            self.or_left_out(&below, taken).map_err(ResolveError::Failed)?;
        }
        Ok(())
    }

    /// An error about one entry omits that entry.
    fn or_left_out(&mut self, at: &Arc<str>, taken: Result<(), ResolveError>) -> Result<(), StoreError> {
        match taken {
            Ok(()) => Ok(()),
            // Without its top there is no tree.
            Err(ResolveError::Blocked(error)) if !at.is_empty() => {
                self.blocked.insert(at.clone(), error);
                Ok(())
            }
            Err(ResolveError::Blocked(error) | ResolveError::Failed(error)) => Err(error),
        }
    }

    fn tell_of_blocked(&mut self) {
        let unknown = self.blocked.iter().filter(|(at, _)| !self.told.contains(*at));
        for (count, (_, error)) in unknown.enumerate() {
            if count == MOST_TOLD {
                tracing::warn!(
                    "more entries of the tree are left out; `twitcher ls --tree` lists the others"
                );
                break;
            }
            tracing::warn!("an entry of the tree is left out: {error}");
        }
        self.told = self.blocked.keys().cloned().collect();
    }

    /// Whether a directory is an ancestor: a symbolic link that leads back up.
    fn is_circle(&self, at: &str, identity: FileId) -> bool {
        let mut place = at;
        while let Some((above, _)) = split(place) {
            if self.directories.get(above).is_some_and(|known| known.identity == identity) {
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
        self.limits.admit(self.bytes, self.entries.len() + 1)?;
        let mark = entry_mark(at, value);
        self.sum = self.sum.wrapping_add(mark);
        match self.detail {
            Detail::Values => {
                self.bytes += value.map_or(0, |value| value.len() as u64);
                self.entries.insert(at, value);
            }
            Detail::Versions => self.entries.insert(at, Some(&mark.to_le_bytes())),
        }
        Ok(())
    }

    /// An entry's contribution to the version.
    fn mark(&self, at: &str, held: Option<&[u8]>) -> u128 {
        match (self.detail, held.map(<[u8; 16]>::try_from)) {
            (Detail::Versions, Some(Ok(mark))) => u128::from_le_bytes(mark),
            (Detail::Values | Detail::Versions, _) => entry_mark(at, held),
        }
    }

    /// Forgets an entry and everything below it.
    fn forget(&mut self, interests: &mut Interests, at: &str) {
        let entries = self.entries.from(at).take_while(|(path, _)| path.starts_with(at));
        let held = |value: Option<&[u8]>| match self.detail {
            Detail::Values => value.map_or(0, |value| value.len() as u64),
            Detail::Versions => 0,
        };
        let gone: Vec<(Arc<str>, u128, u64)> = entries
            .filter(|(path, _)| is_below(path, at))
            .map(|(path, value)| (path.into(), self.mark(path, value), held(value)))
            .collect();
        for (path, mark, bytes) in gone {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.sum = self.sum.wrapping_sub(mark);
            self.entries.remove(&path);
        }
        for gone in keys_from(&self.directories, at) {
            self.directories.remove(&gone);
        }
        for gone in keys_from(&self.blocked, at) {
            self.blocked.remove(&gone);
        }
        self.ahead.retain(|(ahead, _)| !is_below(ahead, at));
        for gone in keys_from(&self.holds, at) {
            if let Some(holds) = self.holds.remove(&gone) {
                self.files -= holds.iter().filter(|(_, scope)| *scope == Scope::Itself).count();
                interests.release(&self.dependent(&gone), holds);
            }
        }
    }

    /// Forgets everything and releases all dependences.
    pub(super) fn release(&mut self, interests: &mut Interests) {
        self.forget(interests, "");
    }
}

fn is_below(at: &str, above: &str) -> bool {
    above.is_empty() || at.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The keys at and below a path. Keys that sort between `a` and `a/b` (`a-`, `a!`) are skipped.
fn keys_from<V>(map: &BTreeMap<Arc<str>, V>, at: &str) -> Vec<Arc<str>> {
    if at.is_empty() {
        return map.keys().cloned().collect();
    }
    let mut keys: Vec<Arc<str>> = map.get_key_value(at).map(|(key, _)| key.clone()).into_iter().collect();
    // `0` follows `/` in ASCII, and so ends the range of keys that begin with `at/`.
    let (from, to) = (format!("{at}/"), format!("{at}0"));
    let range = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
    keys.extend(map.range::<str, _>(range).map(|(key, _)| key.clone()));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_covers_itself_and_its_descendants_but_no_sibling() {
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
