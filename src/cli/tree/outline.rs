//! The tree as text, for pipes. Pure.

use std::collections::BTreeMap;

use super::escape::{glimpse, name, one_line};
use super::nodes::{Holds, Nodes, TOP};
use crate::store::access::Entry;
use crate::watch::Key;

/// Levels that are indented; deeper ones stand under the last, so that no line is made of blanks only.
const INDENTED: usize = 40;
/// Characters of a value that are shown.
const VALUE: usize = 60;

/// One line a node.
pub(super) fn outline(key: &Key, entries: &BTreeMap<String, Entry>) -> String {
    let mut nodes = Nodes::new();
    for (path, entry) in entries {
        let (id, _) = nodes.reach(path);
        nodes.node_mut(id).holds = entry.value.clone().map_or(Holds::NoValue, Holds::Value);
    }
    let mut text = String::new();
    // For each level above, how many nodes are still to come on it.
    let mut left: Vec<usize> = Vec::new();
    for (id, depth) in nodes.walk(true) {
        left.truncate(depth);
        if let Some((last, above)) = left.split_last_mut() {
            *last -= 1;
            for left in above.iter().take(INDENTED) {
                text.push_str(if *left > 0 { "│  " } else { "   " });
            }
            text.push_str(if *last > 0 { "├─ " } else { "└─ " });
        }
        let node = nodes.node(id);
        text.push_str(&if id == TOP { one_line(key.as_str(), usize::MAX) } else { name(node.name()) });
        if let Holds::Value(value) = &node.holds {
            text.push_str(" = ");
            text.push_str(&glimpse(value, VALUE));
        }
        text.push('\n');
        left.push(node.children());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Spelling, Version};

    #[test]
    fn every_node_has_its_line() {
        let entry = |value: Option<&str>| Entry {
            value: value.map(|value| value.to_owned().into()),
            version: Version::Revision(1),
            spelling: Spelling::Slashed,
            metadata: Vec::new(),
        };
        let entries = [
            ("a/b", Some("1")),
            ("a", None),
            ("a/c/d", Some("\x1b[31m")),
            ("e", Some("")),
            ("/", Some("x\ny")),
        ];
        let entries = entries.map(|(path, value)| (path.to_owned(), entry(value)));
        insta::assert_snapshot!(outline(&Key::new("/top").unwrap(), &entries.into()), @r#"
        /top
        ├─ "" = x\ny
        ├─ a
        │  ├─ b = 1
        │  └─ c
        │     └─ d = \u{1b}[31m
        └─ e = ""
        "#);
    }
}
