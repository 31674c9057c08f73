//! The canaries of a fleet, as patterns for host names that are stored as they were written.

use serde::{Deserialize, Serialize};

use crate::watch::hosts::Hosts;

/// Patterns of one configuration, in the syntax of [`Hosts`]. Without any, no host is named.
///
/// Other hosts' records hold them, too: a pattern that cannot be read names nobody.
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
        let readable: Vec<&str> =
            self.0.iter().map(String::as_str).filter(|pattern| Hosts::new(&[pattern]).is_ok()).collect();
        !readable.is_empty() && Hosts::new(&readable).is_ok_and(|hosts| hosts.include(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(patterns: &[&str], host: &str) -> bool {
        HostGlobs(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()).names(host)
    }

    #[test]
    fn patterns_mean_what_they_mean_in_hosts() {
        assert!(names(&["web-*", "!web-9"], "web-1") && !names(&["web-*", "!web-9"], "web-9"));
        assert!(names(&["web-[0-4]"], "web-3") && !names(&["web-[0-4]"], "web-5"));
        assert!(names(&["!web-9"], "web-1"), "exclusions alone mean all others");
    }

    #[test]
    fn nothing_and_garbage_name_nobody() {
        for patterns in [&[][..], &["["], &[""], &["!"]] {
            assert!(!names(patterns, "web-1"), "{patterns:?}");
        }
        assert!(names(&["[", "web-1"], "web-1"));
    }
}
