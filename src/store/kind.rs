//! The differences between the kinds of stores, in one table: a new kind is a new entry.

use super::{StoreError, StoreUrl, dir, zookeeper};
use crate::watch::{Key, Version};

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// etcd, API v3.
    Etcd,
    /// `ZooKeeper`.
    ZooKeeper,
    /// A directory.
    Dir,
}

/// The properties of a kind of store.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Its name in messages.
    pub label: &'static str,
    /// Schemes of its URLs.
    pub schemes: &'static [&'static str],
    /// The form of its versions.
    pub versions: VersionKind,
    /// Whether it may keep earlier states, until compaction: `--from`.
    pub keeps_history: bool,
    /// Fails if no key of this form can exist in it.
    pub admits: fn(&Key) -> Result<(), StoreError>,
}

/// The form of a store's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKind {
    /// Rising numbers, and the store's name for them.
    Revisions(&'static str),
    /// Hashes of the content, without an order.
    Hashes,
}

impl StoreKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::ZooKeeper, Self::Dir];

    /// The schemes of all URLs, as `--help` and messages list them.
    pub fn schemes() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().flat_map(|kind| kind.facts().schemes.iter().copied())
    }

    /// The table.
    pub const fn facts(self) -> Facts {
        match self {
            Self::Etcd => Facts {
                label: "etcd",
                schemes: &["etcd", "etcd+tls"],
                versions: VersionKind::Revisions("revisions"),
                keeps_history: true,
                admits: |_| Ok(()),
            },
            Self::ZooKeeper => Facts {
                label: "ZooKeeper",
                schemes: &["zookeeper", "zookeeper+tls"],
                versions: VersionKind::Revisions("zxids"),
                keeps_history: false,
                admits: zookeeper::admits,
            },
            Self::Dir => Facts {
                label: "a directory",
                schemes: &["dir"],
                versions: VersionKind::Hashes,
                keeps_history: false,
                admits: dir::admits,
            },
        }
    }
}

impl Facts {
    /// Fails, with the form of this kind's versions, unless the version has that form.
    pub fn admits_version(&self, version: Version) -> Result<(), String> {
        match (self.versions, version) {
            (VersionKind::Revisions(_), Version::Revision(_)) | (VersionKind::Hashes, Version::Hash(_)) => {
                Ok(())
            }
            (VersionKind::Revisions(name), Version::Hash(_)) => {
                Err(format!("{}'s versions are {name}, numbers such as 1042", self.label))
            }
            (VersionKind::Hashes, Version::Revision(_)) => {
                Err(format!("{}'s versions are hashes, 32 hexadecimal digits", self.label))
            }
        }
    }
}

impl StoreUrl {
    /// The kind of a store URL.
    pub(crate) const fn kind(&self) -> StoreKind {
        match self {
            Self::Etcd { .. } => StoreKind::Etcd,
            Self::ZooKeeper { .. } => StoreKind::ZooKeeper,
            Self::Dir { .. } => StoreKind::Dir,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::ContentHash;

    #[test]
    fn every_scheme_parses_as_a_url_of_its_kind() {
        for kind in StoreKind::ALL {
            for scheme in kind.facts().schemes {
                let place = if kind == StoreKind::Dir { "/a" } else { "a" };
                let url: StoreUrl = format!("{scheme}://{place}").parse().unwrap();
                assert_eq!(url.kind(), kind);
            }
        }
    }

    #[test]
    fn a_version_of_another_kind_is_refused_with_the_right_form() {
        let (revision, hash) = (Version::Revision(7), Version::Hash(ContentHash::new(7)));
        for (kind, good, bad, said) in [
            (StoreKind::Etcd, revision, hash, "etcd's versions are revisions, numbers such as 1042"),
            (StoreKind::ZooKeeper, revision, hash, "ZooKeeper's versions are zxids, numbers such as 1042"),
            (StoreKind::Dir, hash, revision, "a directory's versions are hashes, 32 hexadecimal digits"),
        ] {
            assert_eq!(kind.facts().admits_version(good), Ok(()));
            assert_eq!(kind.facts().admits_version(bad).unwrap_err(), said);
        }
    }
}
