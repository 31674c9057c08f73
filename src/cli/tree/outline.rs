//! The tree as text, for pipes. Pure.

use std::collections::BTreeMap;

use super::escape::{glimpse, name, one_line};
use super::nodes::{Holds, Nodes, TOP};
use crate::store::access::Entry;
use crate::watch::Key;

/// Indented levels; deeper ones stay at the last indentation, so that lines do not consist of spaces.
const INDENTED: usize = 40;

/// One line for each node, cut to this many columns.
pub(super) fn outline(key: &Key, entries: &BTreeMap<String, Entry>, columns: usize) -> String {
    let mut nodes = Nodes::new();
    for (path, entry) in entries {
        let (id, _) = nodes.reach(path);
        nodes.node_mut(id).holds = entry.value.clone().map_or(Holds::NoValue, Holds::Value);
    }
    let (mut text, mut line) = (String::new(), String::new());
    // For each level above, how many nodes still follow on it.
    let mut left: Vec<usize> = Vec::new();
    for (id, depth) in nodes.walk(true) {
        left.truncate(depth);
        if let Some((last, above)) = left.split_last_mut() {
            *last -= 1;
            for left in above.iter().take(INDENTED) {
                line.push_str(if *left > 0 { "│  " } else { "   " });
            }
            line.push_str(if *last > 0 { "├─ " } else { "└─ " });
        }
        let node = nodes.node(id);
        let name = if id == TOP { one_line(key.as_str(), columns) } else { name(node.name(), columns) };
        line.push_str(&name);
        if let Holds::Value(value) = &node.holds {
            line.push_str(" = ");
            line.push_str(&glimpse(value, columns));
        }
        // Everything is escaped already.
        text.push_str(&one_line(&line, columns));
        text.push('\n');
        line.clear();
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
        let (key, entries) = (Key::new("/top").unwrap(), entries.into());
        assert!(outline(&key, &entries, 12).contains("\n│  ├─ b = 1\n"));
        assert!(outline(&key, &entries, 12).contains("\n│     └─ d …\n"));
        insta::assert_snapshot!(outline(&key, &entries, usize::MAX), @r#"
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
