//! Documents of any bytes, for fuzzing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Arrays, Syntax, parse, render, write};
use crate::watch::{Content, Format, Subtree};

type Entries = BTreeMap<String, Option<Bytes>>;

/// A document that is read is written and read again as the same entries, in every language.
pub(crate) fn documents(bytes: &[u8]) {
    let text = |entries: &Entries, syntax| {
        write(entries.iter().map(|(path, value)| (path.as_str(), value.as_deref())), syntax)
    };
    for syntax in [Syntax::Json, Syntax::Yaml, Syntax::Toml] {
        for arrays in [Arrays::Refuse, Arrays::Index] {
            let entries = match parse(bytes, syntax, arrays) {
                Ok(entries) => entries,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    continue;
                }
            };
            for other in [Syntax::Json, Syntax::Yaml, Syntax::Toml] {
                let written = text(&entries, other);
                let again = parse(written.as_bytes(), other, Arrays::Refuse)
                    .unwrap_or_else(|error| panic!("{error} in {written:?} of {entries:?}"));
                assert_eq!(values(&again), values(&entries), "{written:?}");
            }
        }
    }
}

fn values(entries: &Entries) -> BTreeMap<&str, &Bytes> {
    entries.iter().filter_map(|(path, value)| Some((path.as_str(), value.as_ref()?))).collect()
}

/// What an action reads: lines stay lines.
pub(crate) fn stdin(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let names: Arc<[Arc<str>]> = text.split('\0').map(Arc::from).collect();
    let tree: Subtree = names.iter().map(|name| (&**name, Some(bytes))).collect();
    let count = tree.len();
    let contents =
        [Content::Value(bytes.to_vec().into()), Content::Children(names.clone()), Content::Tree(tree)];
    for format in [Format::Raw, Format::Lines, Format::Json, Format::Yaml, Format::Toml] {
        let [value, children, tree] = contents.each_ref().map(|content| render(content, format));
        let lines = |text: &[u8]| text.split(|byte| *byte == b'\n').count() - 1;
        match format {
            Format::Raw => assert_eq!(value, bytes),
            Format::Lines => {
                assert!(value.ends_with(b"\n"));
                assert_eq!((lines(&children), lines(&tree)), (names.len(), count));
            }
            Format::Json => {
                for text in [value, children, tree] {
                    assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok(), "{text:?}");
                }
            }
            Format::Yaml => {
                let entries = parse(&tree, Syntax::Yaml, Arrays::Refuse);
                assert!(entries.is_ok(), "{entries:?} of {tree:?}");
            }
            Format::Toml => {
                for text in [value, tree] {
                    let entries = parse(&text, Syntax::Toml, Arrays::Refuse);
                    assert!(entries.is_ok(), "{entries:?} of {text:?}");
                }
            }
        }
    }
}
