//! Why changes are not noticed immediately, and which limit to raise.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::store::dir::{NO_INSTANCE, NO_WATCH};

/// The message for a place that cannot be watched, or for the directory as a whole.
pub(super) fn complaint(place: Option<&Path>, errno: Errno) -> String {
    let what = place.map_or_else(String::new, |place| format!(" of {}", place.display()));
    let why = if errno == Errno::ENOSPC {
        NO_WATCH.to_owned()
    } else if errno == Errno::EMFILE {
        NO_INSTANCE.to_owned()
    } else {
        io::Error::from(errno).to_string()
    };
    late_of(&what, &why)
}

/// For a directory on a mount that does not answer.
pub(super) fn unanswered() -> String {
    late(crate::config::stall::UNANSWERED)
}

/// For the directory as a whole.
pub(super) fn late(why: &str) -> String {
    late_of("", why)
}

fn late_of(what: &str, why: &str) -> String {
    format!("changes{what} are only polled for every few seconds: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_with_the_setting_that_raises_it() {
        let of = |place: &'static str, errno| complaint(Some(Path::new(place)), errno);
        insta::assert_snapshot!(of("/etc/twitcher/a", Errno::ENOSPC), @"changes of /etc/twitcher/a are only polled for every few seconds: this user has no inotify watch left; raise it, for example `sysctl fs.inotify.max_user_watches=524288`, and write that to a file in /etc/sysctl.d");
        insta::assert_snapshot!(complaint(None, Errno::EMFILE), @"changes are only polled for every few seconds: no inotify instance or file descriptor is left; raise sysctl fs.inotify.max_user_instances or the limit of open files (LimitNOFILE)");
        insta::assert_snapshot!(of("/x", Errno::EACCES), @"changes of /x are only polled for every few seconds: Permission denied (os error 13)");
    }
}
