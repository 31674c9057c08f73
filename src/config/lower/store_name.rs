//! What is said of a store that is not configured.

use crate::config::problem::{Problem, nearest};

/// Words a problem about a store that is not configured.
pub(super) fn unknown_store<'a>(
    mut problem: Problem,
    given: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Problem {
    problem.message = format!("there is no store `{}` in twitcher.conf", crate::config::problem::word(given));
    let help = if let Some(near) = nearest(given, names.clone()) {
        format!("did you mean `{near}`?")
    } else {
        format!("known are {}; write `[store.{given}]` with its `url`", names.collect::<Vec<_>>().join(", "))
    };
    problem.with_help(help)
}
