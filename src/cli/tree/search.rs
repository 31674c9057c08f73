//! Finds keys by their names. Pure.

use super::nodes::{NodeId, Nodes, TOP};

/// A search and its result.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Case-insensitive. A text with a slash is searched in whole keys.
    pub(super) text: String,
    /// Whether it is being typed.
    pub(super) typing: bool,
    /// Where it began: the first match from there on is selected.
    pub(super) from: Option<NodeId>,
    /// The first row on the screen at that time.
    pub(super) first: usize,
    /// The nodes that it expanded, while it is being typed.
    pub(super) opened: Vec<NodeId>,
    /// The number of the selected match, from 1, and how many there are.
    pub(super) found: Option<(usize, usize)>,
}

/// Which match to select, relative to the start node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The first at or after it.
    Here,
    /// The first after it.
    Next,
    /// The last before it.
    Previous,
}

/// Searches all nodes, from one on, wrapping around. Also returns the index of the match, from 1, and the total.
pub(super) fn find(
    nodes: &Nodes,
    base: &str,
    text: &str,
    from: NodeId,
    direction: Direction,
) -> Option<(NodeId, usize, usize)> {
    let wanted = text.to_lowercase();
    let whole = wanted.contains('/');
    let mut place = base.to_lowercase();
    // The length of each parent's key.
    let mut lengths: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    // The number of matches before the start node, and whether it is one itself.
    let (mut before, mut here) = (0, false);
    for (id, depth) in nodes.walk(true) {
        let name = nodes.node(id).name();
        let matches = if whole {
            lengths.truncate(depth);
            if let Some(above) = lengths.last() {
                place.truncate(*above);
                place.push('/');
                place.push_str(&name.to_lowercase());
            }
            // A match within a parent's key is not repeated for each key below.
            let new = lengths.last().map_or(0, |above| (above + 1).saturating_sub(wanted.len()));
            lengths.push(place.len());
            place[place.ceil_char_boundary(new)..].contains(&wanted)
        } else {
            contains(if id == TOP { base } else { name }, &wanted)
        };
        if id == from {
            before = found.len();
            here = matches;
        }
        if matches {
            found.push(id);
        }
    }
    let all = found.len();
    let index = match direction {
        Direction::Here => before,
        Direction::Next => before + usize::from(here),
        Direction::Previous => before + all.saturating_sub(1),
    };
    let index = index.checked_rem(all)?;
    Some((found[index], index + 1, all))
}

/// A text without its last word and the separators after it.
pub(super) fn without_last_word(text: &str) -> &str {
    let between = |character: char| !character.is_alphanumeric();
    let word = text.trim_end_matches(between);
    word.trim_end_matches(|character| !between(character))
}

/// Whether a name contains the searched text, which is in lower case.
pub(super) fn contains(name: &str, wanted: &str) -> bool {
    !wanted.is_empty()
        && if name.is_ascii() && wanted.is_ascii() {
            name.as_bytes().windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted.as_bytes()))
        } else {
            name.to_lowercase().contains(wanted)
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Nodes {
        let mut nodes = Nodes::new();
        for path in ["a/port", "b/Port", "b/x/port", "c"] {
            nodes.reach(path);
        }
        nodes
    }

    fn go(from: &str, text: &str, direction: Direction) -> Option<(String, usize, usize)> {
        let mut nodes = nodes();
        let (from, _) = nodes.reach(from);
        find(&nodes, "/top", text, from, direction).map(|(id, at, of)| (nodes.suffix(id), at, of))
    }

    #[test]
    fn it_goes_on_and_around() {
        let at = |suffix: &str, at| Some((suffix.to_owned(), at, 3));
        assert_eq!(go("", "port", Direction::Here), at("/a/port", 1));
        assert_eq!(go("a/port", "PORT", Direction::Here), at("/a/port", 1));
        assert_eq!(go("a/port", "port", Direction::Next), at("/b/Port", 2));
        assert_eq!(go("b/x", "port", Direction::Previous), at("/b/Port", 2));
        assert_eq!(go("c", "port", Direction::Next), at("/a/port", 1));
        assert_eq!(go("", "port", Direction::Previous), at("/b/x/port", 3));
        assert_eq!(go("", "nothing", Direction::Next), None);
        assert_eq!(go("", "", Direction::Next), None);
    }

    #[test]
    fn words_are_taken_from_the_end() {
        for (text, left) in [("a/port", "a/"), ("a/", ""), ("two words", "two "), ("é-ü. ", "é-"), ("", "")]
        {
            assert_eq!(without_last_word(text), left);
        }
    }

    #[test]
    fn a_slash_looks_in_whole_keys_and_finds_each_place_once() {
        assert_eq!(go("", "top/b", Direction::Here), Some(("/b".to_owned(), 1, 1)));
        assert_eq!(go("", "b/x/P", Direction::Here), Some(("/b/x/port".to_owned(), 1, 1)));
        assert_eq!(go("", "/", Direction::Here).map(|(_, _, of)| of), Some(8));
    }
}
