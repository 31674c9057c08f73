//! Keys of any bytes, for fuzzing.

use super::keys::KeySpace;
use crate::watch::{InvalidKey, Key, Spelling, WatchType};

/// The bytes up to the first NUL are a configured key, the others a key of the store. The path of that key leads back to it.
pub(crate) fn keys(bytes: &[u8], key_read: fn(&Key, &str, Spelling) -> Result<Key, InvalidKey>) {
    let (configured, found) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, bytes),
    };
    let Ok(key) = Key::new(&String::from_utf8_lossy(configured)) else { return };
    for prefix in ["", "/prod"] {
        let space = KeySpace::new(prefix);
        for watch_type in [WatchType::Data, WatchType::Children, WatchType::Tree] {
            let scope = space.scope(&key, watch_type);
            let (_, _, _) = (scope.reads(), scope.watches(true), scope.to_string());
            let Some(path) = scope.path(found) else { continue };
            assert!(!scope.leaves_out(found), "{scope} {path:?}");
            match watch_type {
                WatchType::Data => assert_eq!(space.exact(&key), found),
                WatchType::Children => assert!(!path.is_empty() && !path.contains('/'), "{scope} {path:?}"),
                WatchType::Tree => {
                    if let Ok(back) = key_read(&key, &path, scope.spelling(found)) {
                        let back = space.exact(&back);
                        assert_eq!(
                            back.escape_ascii().to_string(),
                            found.escape_ascii().to_string(),
                            "{scope}"
                        );
                    }
                }
            }
        }
    }
}
