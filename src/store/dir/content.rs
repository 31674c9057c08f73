//! Reads values from the disk and computes their versions, which are hashes.

use std::io::{self, Read};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::resolve::{FoundFile, refused};
use crate::store::StoreError;
use crate::watch::{ContentHash, Version};

/// The largest file that counts as a value, in bytes. etcd and `ZooKeeper` hold about 1 MiB; a larger file is probably
/// misplaced, and would be copied for every run.
pub(super) const LARGEST_VALUE: u64 = 64 << 20;

/// The version of a key that does not exist, and of a directory, which has no value.
pub(crate) const NOTHING: Version = Version::Hash(ContentHash::ZERO);

/// The size of an open file, in bytes.
pub(super) fn size(found: &FoundFile) -> Result<u64, StoreError> {
    found.file.metadata().map(|metadata| metadata.len()).map_err(|error| refused(&found.path, &error))
}

/// Reads an open file.
pub(super) fn read_file(found: &FoundFile) -> Result<Bytes, StoreError> {
    let failed = |error: io::Error| refused(&found.path, &error);
    let size = size(found)?;
    // A sparse file counts with its size, before a byte of it is read.
    if size > LARGEST_VALUE {
        let why = format!("it has {size} bytes, and a value has at most {LARGEST_VALUE}");
        return Err(StoreError::Refused { what: format!("read {}", found.path.display()), why });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // The limit also applies to a file that grows while it is read.
    (&found.file).take(LARGEST_VALUE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes.into())
}

/// The first 16 bytes of a SHA-256, enough to rule out collisions.
fn shortened(digest: Sha256) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&digest.finalize()[..16]);
    u128::from_be_bytes(first)
}

/// The version of a value.
pub(crate) fn value_version(value: &[u8]) -> Version {
    Version::Hash(ContentHash::new(shortened(Sha256::new_with_prefix(value))))
}

/// The version of a list of names.
pub(super) fn names_version<'a>(names: impl IntoIterator<Item = &'a str>) -> Version {
    let mut digest = Sha256::new_with_prefix(b"names\0");
    for name in names {
        digest.update(name.as_bytes());
        digest.update([0]);
    }
    Version::Hash(ContentHash::new(shortened(digest)))
}

/// The hash of one entry of a subtree. A subtree's version is the wrapping sum of its entries' hashes, so that one changed
/// file of 50,000 costs one hash and not 50,000.
pub(super) fn entry_mark(at: &str, value: Option<&[u8]>) -> u128 {
    let mut digest = Sha256::new_with_prefix(at.as_bytes());
    match value {
        Some(value) => {
            digest.update([0, 1]);
            digest.update(value);
        }
        None => digest.update([0, 0]),
    }
    shortened(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_distinguish_values_names_and_paths() {
        assert_ne!(value_version(b""), NOTHING);
        assert_ne!(value_version(b"a"), value_version(b"b"));
        assert_ne!(names_version(["ab"]), names_version(["a", "b"]));
        assert_ne!(entry_mark("a", Some(b"")), entry_mark("a", None));
        assert_ne!(entry_mark("a", Some(b"b")), entry_mark("ab", Some(b"")));
    }

    #[test]
    fn the_version_of_a_value_is_the_start_of_its_sha256() {
        // `printf abc | sha256sum`
        assert_eq!(value_version(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223");
    }
}
