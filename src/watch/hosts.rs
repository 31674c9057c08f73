//! Which hosts are meant, by globs on the whole name: `hosts` of a watch, and the canaries of a fleet. Pure.

use super::WatchName;

/// A watch that is for other hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its name.
    pub name: WatchName,
    /// Its `hosts`, as they are written, with commas between them.
    pub hosts: String,
}

/// Patterns for host names: `*` is any text, `?` one character, `[a-z]` one of a set, and `!` before a pattern excludes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// As it is written.
    text: String,
    excludes: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    /// `[a-z]`, `[!a-z]`
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Literal(char),
}

/// As they are written, with commas between them.
impl std::fmt::Display for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, pattern.text)?;
        }
        Ok(())
    }
}

impl Hosts {
    /// Parses the patterns; an error has the index of the bad one and the reason.
    pub fn new(patterns: &[&str]) -> Result<Self, (usize, String)> {
        let read = patterns
            .iter()
            .enumerate()
            .map(|(index, pattern)| Pattern::new(pattern).map_err(|wrong| (index, wrong.to_owned())));
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Whether this host is meant: a pattern matches, or all of them exclude others.
    pub fn include(&self, host: &str) -> bool {
        let host: Vec<char> = host.chars().collect();
        let matches = |pattern: &&Pattern| matches(&pattern.parts, &host);
        let excluded = self.0.iter().filter(|pattern| pattern.excludes).any(|pattern| matches(&pattern));
        let mut included = self.0.iter().filter(|pattern| !pattern.excludes).peekable();
        !excluded && (included.peek().is_none() || included.any(|pattern| matches(&pattern)))
    }
}

/// Whether a single pattern, which does not exclude, matches the whole text.
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    Pattern::new(pattern).is_ok_and(|pattern| !pattern.excludes && matches(&pattern.parts, &text))
}

impl Pattern {
    fn new(text: &str) -> Result<Self, &'static str> {
        let written = text.to_owned();
        let (excludes, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        if text.is_empty() {
            return Err("a pattern must not be empty");
        }
        let (mut parts, mut rest) = (Vec::new(), text.chars());
        while let Some(character) = rest.next() {
            parts.push(match character {
                '*' => Part::Any,
                '?' => Part::One,
                '[' => set(&mut rest)?,
                literal => Part::Literal(literal),
            });
        }
        Ok(Self { text: written, excludes, parts })
    }
}

/// The content of the brackets. A `]` at the beginning is a member.
fn set(rest: &mut std::str::Chars<'_>) -> Result<Part, &'static str> {
    const OPEN: &str = "`[` has no `]`";
    let mut members = Vec::new();
    let negated = rest.as_str().starts_with(['!', '^']);
    if negated {
        rest.next();
    }
    loop {
        match rest.next().ok_or(OPEN)? {
            ']' if !members.is_empty() => break,
            from => {
                let mut ahead = rest.clone();
                let to = match (ahead.next(), ahead.next()) {
                    (Some('-'), Some(to)) if to != ']' => {
                        *rest = ahead;
                        to
                    }
                    (_, _) => from,
                };
                if to < from {
                    return Err("a range must rise, as in `[a-z]`");
                }
                members.push((from, to));
            }
        }
    }
    Ok(Part::Set { negated, ranges: members })
}

fn matches(parts: &[Part], host: &[char]) -> bool {
    // Where to continue after a mismatch: behind the last `*`, one character later than before.
    let (mut part, mut at, mut retry) = (0, 0, None);
    while at < host.len() {
        let fits = match parts.get(part) {
            Some(Part::Any) => {
                retry = Some((part + 1, at));
                part += 1;
                continue;
            }
            Some(Part::One) => true,
            Some(Part::Set { negated, ranges }) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&host[at])) != *negated
            }
            Some(Part::Literal(literal)) => *literal == host[at],
            None => false,
        };
        if fits {
            (part, at) = (part + 1, at + 1);
        } else if let Some((behind, from)) = retry {
            (part, at) = (behind, from + 1);
            retry = Some((behind, from + 1));
        } else {
            return false;
        }
    }
    parts[part..].iter().all(|part| *part == Part::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn include(patterns: &[&str], host: &str) -> bool {
        Hosts::new(patterns).unwrap().include(host)
    }

    #[test]
    fn globs_match_the_whole_name_and_case() {
        for (pattern, host, expected) in [
            ("web-17", "web-17", true),
            ("web-17", "web-171", false),
            ("web-17", "WEB-17", false),
            ("web-*", "web-", true),
            ("*", "", true),
            ("*.example", "a.b.example", true),
            ("w*b*7", "web-1-b-17", true),
            ("w*b*7", "web-1-b-18", false),
            ("web-?", "web-1", true),
            ("web-?", "web-12", false),
            ("web-[0-4]", "web-3", true),
            ("web-[0-4]", "web-5", false),
            ("web-[!0-4]", "web-5", true),
            ("web-[^0-4]", "web-4", false),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("é?", "éé", true),
        ] {
            assert_eq!(include(&[pattern], host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn exclusions_win_and_alone_mean_all_others() {
        let patterns = ["web-*", "!web-1"];
        assert!(include(&patterns, "web-2") && !include(&patterns, "web-1") && !include(&patterns, "db-1"));
        assert!(include(&["!web-*"], "db-1") && !include(&["!web-*"], "web-1"));
        assert_eq!(Hosts::new(&patterns).unwrap().to_string(), "web-*, !web-1");
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        assert!(!include(&[&"*a".repeat(200)], &"b".repeat(150)));
    }

    #[test]
    fn a_single_glob_has_no_exclusion() {
        assert!(matches_glob("a*", "ab") && !matches_glob("!a*", "b") && !matches_glob("[", "["));
    }

    #[test]
    fn what_is_not_a_pattern_is_refused() {
        for (patterns, index) in
            [(&["a", "!"][..], 1), (&[""], 0), (&["[a"], 0), (&["[z-a]"], 0), (&["[]"], 0)]
        {
            assert_eq!(Hosts::new(patterns).unwrap_err().0, index, "{patterns:?}");
        }
    }
}
