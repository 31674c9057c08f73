//! Selects watches by the names and globs on a command line.

use super::Failure;
use crate::control::unknown_watch;
use crate::watch::WatchName;
use crate::watch::hosts::matches_glob;

/// Whether a name is a glob.
pub(super) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// The selected watches, in their order. A name or glob without a match is an error that names it.
pub(super) fn selected(names: &[String], known: &[&str]) -> Result<Vec<bool>, Failure> {
    let mut chosen = vec![false; known.len()];
    for name in names {
        let mut any = false;
        for (chosen, known) in chosen.iter_mut().zip(known) {
            let means = if is_glob(name) { matches_glob(name, known) } else { name == known };
            *chosen |= means;
            any |= means;
        }
        if !any && is_glob(name) {
            return Err(Failure::new(format!("no watch matches `{name}`; `twitcher status` lists them")));
        }
        if !any {
            let known: Vec<WatchName> = known.iter().filter_map(|name| WatchName::new(name).ok()).collect();
            return Err(Failure::new(unknown_watch(name, known.iter())));
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_globs_select() {
        let known = ["nginx", "nginx-2", "git"];
        let chosen = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            selected(&names, &known)
        };
        assert_eq!(chosen(&["nginx"]).unwrap(), [true, false, false]);
        assert_eq!(chosen(&["nginx*"]).unwrap(), [true, true, false]);
        assert_eq!(chosen(&["g?t", "nginx-?"]).unwrap(), [false, true, true]);
        for wrong in ["x*", "ngnix"] {
            let error = format!("{:?}", chosen(&["git", wrong]).unwrap_err());
            assert!(error.contains(wrong), "{error}");
        }
    }
}
