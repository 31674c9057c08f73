//! Errors in the text of a watch file that do not depend on the machine.

use std::path::{Path, PathBuf};

use super::{Problem, Severity, lower, raw};
use crate::watch::Account;

/// The errors of a watch file that do not depend on the accounts and stores of a machine. Its keys are checked as those of
/// ZooKeeper or a directory, where not every text is a key.
pub fn mistakes(text: &str) -> Vec<Problem> {
    let settings = lower::fallback(&raw::Local::named("localhost"));
    let raw = raw::watch_file(Path::new("watch.toml").into(), text, None);
    let anybody = || Account {
        uid: 1,
        gid: 1,
        groups: None,
        user: "anybody".into(),
        home: PathBuf::from("/"),
        shell: PathBuf::from("/bin/sh"),
    };
    let mut resolve = |_: Option<&_>, _: Option<&_>| Ok(anybody());
    let lower::Lowered { mut problems, .. } =
        lower::watches_alone(&raw, "watch", settings.as_ref(), &mut resolve);
    problems.retain(|problem| problem.severity == Severity::Error);
    problems
}
