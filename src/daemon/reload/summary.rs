//! The log line that names the watches which a reload added, changed and removed. Pure.

use std::path::Path;

use crate::config::Diff;
use crate::watch::WatchName;

/// Most names in one list; the rest is counted.
const MOST_NAMES: usize = 20;

/// As in `reloaded: changed git (git.toml); removed nope`; `file` returns the file that defines a watch now.
pub(super) fn summary<'a>(diff: &Diff, file: impl Fn(&WatchName) -> Option<&'a Path>) -> String {
    let with_file = |name: &WatchName| match file(name).and_then(Path::file_name) {
        Some(file) => format!("{name} ({})", file.display()),
        None => name.to_string(),
    };
    let lists = [
        list("added", diff.added.len(), diff.added.keys().map(with_file)),
        list("changed", diff.changed.len(), diff.changed.keys().map(with_file)),
        list("removed", diff.removed.len(), diff.removed.iter().map(WatchName::to_string)),
    ];
    format!("reloaded: {}", lists.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn list(what: &str, count: usize, names: impl Iterator<Item = String>) -> Option<String> {
    let shown = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    match count.saturating_sub(MOST_NAMES) {
        _ if count == 0 => None,
        0 => Some(format!("{what} {shown}")),
        more => Some(format!("{what} {shown} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_its_names_up_to_a_limit_and_none_is_left_out_uncounted() {
        let said = |count: usize| list("added", count, (0..count).map(|n| n.to_string()));
        assert_eq!(said(0), None);
        assert_eq!(said(2).as_deref(), Some("added 0, 1"));
        assert!(said(20).unwrap().ends_with(", 18, 19"));
        assert!(said(23).unwrap().ends_with(", 18, 19 and 3 more"));
    }

    #[test]
    fn removed_watches_are_named_after_the_others() {
        let mut diff = Diff::default();
        assert!(diff.is_empty());
        for name in ["nope", "old"] {
            diff.removed.insert(WatchName::new(name).unwrap());
        }
        assert_eq!(summary(&diff, |_| None), "reloaded: removed nope, old");
    }
}
