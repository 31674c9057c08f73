//! Neighbouring entries of a subtree, packed: an entry costs twelve bytes beside its path and value, and eight more if
//! the store has revisions.

use std::mem::size_of;

use super::origin::Origin;
use crate::watch::Spelling;

/// A page with more entries, or more bytes of paths and values, is split. An update copies one page.
const MOST_ENTRIES: usize = 64;
const MOST_BYTES: usize = 4096;

/// One entry. Its value is `None` for a node that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) path: &'a str,
    pub(super) value: Option<&'a [u8]>,
    pub(super) origin: Origin,
}

/// Entries in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Page {
    paths: Box<str>,
    values: Box<[u8]>,
    ends: Box<[End]>,
    /// `None` if no entry has one.
    revisions: Box<[i64]>,
}

/// Where an entry's path and value end. They begin where those of the previous entry end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    path: u32,
    value: u32,
    bare: bool,
    spelling: Spelling,
}

const _: () = assert!(size_of::<End>() == 12);

impl Page {
    /// Packs entries, which must be in order.
    pub(super) fn pack<'a>(entries: impl Iterator<Item = Entry<'a>> + Clone) -> Self {
        let count = entries.clone().count();
        let bytes = |of: fn(Entry<'a>) -> usize| entries.clone().map(of).sum();
        let mut paths = String::with_capacity(bytes(|entry| entry.path.len()));
        let mut values = Vec::with_capacity(bytes(|entry| entry.value.map_or(0, <[u8]>::len)));
        let mut ends = Vec::with_capacity(count);
        let dated = entries.clone().any(|entry| entry.origin.revision != 0);
        let mut revisions = Vec::with_capacity(if dated { count } else { 0 });
        for Entry { path, value, origin: Origin { spelling, revision } } in entries {
            paths.push_str(path);
            values.extend_from_slice(value.unwrap_or_default());
            let bare = value.is_none();
            ends.push(End { path: offset(paths.len()), value: offset(values.len()), bare, spelling });
            if dated {
                revisions.push(revision);
            }
        }
        Self { paths: paths.into(), values: values.into(), ends: ends.into(), revisions: revisions.into() }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Its first path.
    pub(super) fn first(&self) -> Option<&str> {
        self.entry(0).map(|entry| entry.path)
    }

    pub(super) fn entry(&self, index: usize) -> Option<Entry<'_>> {
        let end = self.ends.get(index)?;
        let before = index.checked_sub(1).and_then(|index| self.ends.get(index));
        let (path, value) = before.map_or((0, 0), |end| (end.path, end.value));
        let path = self.paths.get(path as usize..end.path as usize)?;
        let value = self.values.get(value as usize..end.value as usize)?;
        let revision = self.revisions.get(index).copied().unwrap_or_default();
        let origin = Origin { spelling: end.spelling, revision };
        Some(Entry { path, value: (!end.bare).then_some(value), origin })
    }

    /// The index of a path, or where it would be inserted.
    pub(super) fn find(&self, path: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.entry(middle).map(|entry| entry.path.cmp(path)) {
                Some(std::cmp::Ordering::Equal) => return Ok(middle),
                Some(std::cmp::Ordering::Less) => low = middle + 1,
                Some(std::cmp::Ordering::Greater) | None => high = middle,
            }
        }
        Err(low)
    }

    /// The entries from an index on.
    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = Entry<'_>> + Clone {
        (index..self.len()).filter_map(|index| self.entry(index))
    }

    /// A copy with this entry inserted, or replaced if the path exists.
    pub(super) fn with<'a>(&'a self, entry: Entry<'a>) -> Self {
        let (at, rest) = match self.find(entry.path) {
            Ok(index) => (index, index + 1),
            Err(index) => (index, index),
        };
        Self::pack(self.from(0).take(at).chain([entry]).chain(self.from(rest)))
    }

    /// A copy without the entry at an index.
    pub(super) fn without(&self, index: usize) -> Self {
        Self::pack(self.from(0).take(index).chain(self.from(index + 1)))
    }

    /// Packs entries, which must be in order, into as few pages as possible.
    pub(super) fn pack_all<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<Self> {
        let (mut pages, mut some, mut bytes) = (Vec::new(), Vec::new(), 0);
        for entry in entries {
            let more = entry.path.len() + entry.value.map_or(0, <[u8]>::len);
            if !some.is_empty() && !fits(some.len() + 1, bytes + more) {
                pages.push(Self::pack(some.iter().copied()));
                some.clear();
                bytes = 0;
            }
            some.push(entry);
            bytes += more;
        }
        if !some.is_empty() {
            pages.push(Self::pack(some.iter().copied()));
        }
        pages
    }

    /// Splits a page that is too large: half of the bytes in each, as far as entries allow.
    pub(super) fn split(&self) -> Option<(Self, Self)> {
        let bytes = self.bytes();
        if self.len() < 2 || fits(self.len(), bytes) {
            return None;
        }
        let below_half = |end: &End| (end.path as usize + end.value as usize) * 2 <= bytes;
        let middle = self.ends.partition_point(below_half).clamp(1, self.len() - 1);
        Some((Self::pack(self.from(0).take(middle)), Self::pack(self.from(middle))))
    }

    /// Joins two neighbours that together fill at most half a page.
    pub(super) fn join(&self, next: &Self) -> Option<Self> {
        let small =
            self.len() + next.len() <= MOST_ENTRIES / 2 && self.bytes() + next.bytes() <= MOST_BYTES / 2;
        small.then(|| Self::pack(self.from(0).chain(next.from(0))))
    }

    fn bytes(&self) -> usize {
        self.paths.len() + self.values.len()
    }

    /// Bytes of the values.
    pub(super) fn value_bytes(&self) -> usize {
        self.values.len()
    }

    /// Bytes of memory that it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.bytes() + size_of_val(&*self.ends) + size_of_val(&*self.revisions)
    }
}

/// Whether one page may hold this many entries and bytes. A single entry is a page, however large it is.
fn fits(entries: usize, bytes: usize) -> bool {
    entries <= MOST_ENTRIES && bytes <= MOST_BYTES
}

/// No store holds a value of 4 GiB, and a page with more than one entry is far smaller.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
