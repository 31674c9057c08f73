//! Patterns for host names: `*` is any text, `?` one character, and `!` before a pattern excludes.

use serde::{Deserialize, Serialize};

/// Patterns of one configuration; a host is named where one matches and none that excludes does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostGlobs(pub Vec<String>);

impl HostGlobs {
    /// Whether no host can be named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a host is named.
    pub fn names(&self, host: &str) -> bool {
        let excluded = |pattern: &String| pattern.strip_prefix('!').is_some_and(|rest| matches(rest, host));
        let included = |pattern: &String| !pattern.starts_with('!') && matches(pattern, host);
        self.0.iter().any(included) && !self.0.iter().any(excluded)
    }
}

/// Whether a pattern matches the whole text. Takes at most pattern × text steps, whatever both are.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where the last star was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(next) {
            Some('*') => {
                star = Some((next, at));
                next += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[at] => {
                next += 1;
                at += 1;
            }
            Some(_) | None => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                next = place + 1;
                at = taken + 1;
            }
        }
    }
    pattern[next..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(patterns: &[&str], host: &str) -> bool {
        HostGlobs(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()).names(host)
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, host, wanted) in [
            ("web-*", "web-17", true),
            ("web-*", "xweb-17", false),
            ("*-canary-*", "a-canary-canary-1", true),
            ("web-?", "web-1", true),
            ("web-?", "web-17", false),
            ("*", "", true),
            ("", "a", false),
            ("ü?", "üä", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(names(&[pattern], host), wanted, "{pattern} {host}");
        }
    }

    #[test]
    fn an_exclusion_wins() {
        assert!(names(&["web-*", "!web-9"], "web-1"));
        assert!(!names(&["web-*", "!web-9"], "web-9"));
        assert!(!names(&["!web-9"], "web-1"), "an exclusion alone names nobody");
        assert!(!names(&[], "web-1"));
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        assert!(!names(&[&"*a".repeat(200)], &"a".repeat(150)));
    }
}
