//! Why changes are not noticed immediately, and which limit to raise.

use notify::ErrorKind;

use crate::store::dir::{NO_INSTANCE, NO_WATCH};

/// The message for an error of `notify`.
pub(super) fn complaint(error: &notify::Error) -> String {
    let what = error.paths.first().map_or_else(String::new, |path| format!(" of {}", path.display()));
    let number = match &error.kind {
        ErrorKind::MaxFilesWatch => Some(nix::libc::ENOSPC),
        ErrorKind::Io(error) => error.raw_os_error(),
        ErrorKind::Generic(_)
        | ErrorKind::PathNotFound
        | ErrorKind::WatchNotFound
        | ErrorKind::InvalidConfig(_) => None,
    };
    let why = if number == Some(nix::libc::ENOSPC) {
        NO_WATCH.to_owned()
    } else if number == Some(nix::libc::EMFILE) {
        NO_INSTANCE.to_owned()
    } else if let ErrorKind::Io(error) = &error.kind {
        error.to_string()
    } else {
        error.to_string()
    };
    format!("changes{what} are only polled for every few seconds: {why}")
}

/// For a directory on a mount that does not answer.
pub(super) fn unanswered() -> String {
    late(crate::config::stall::UNANSWERED)
}

/// For the directory as a whole.
pub(super) fn late(why: &str) -> String {
    format!("changes are only polled for every few seconds: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_with_the_setting_that_raises_it() {
        let full = notify::Error::new(ErrorKind::MaxFilesWatch).add_path("/etc/twitcher/a".into());
        insta::assert_snapshot!(complaint(&full), @"changes of /etc/twitcher/a are only polled for every few seconds: this user has no inotify watch left; raise it, for example `sysctl fs.inotify.max_user_watches=524288`, and write that to a file in /etc/sysctl.d");
        let instances = notify::Error::io(std::io::Error::from_raw_os_error(nix::libc::EMFILE));
        insta::assert_snapshot!(complaint(&instances), @"changes are only polled for every few seconds: no inotify instance or file descriptor is left; raise sysctl fs.inotify.max_user_instances or the limit of open files (LimitNOFILE)");
        let denied =
            notify::Error::io(std::io::Error::from_raw_os_error(nix::libc::EACCES)).add_path("/x".into());
        insta::assert_snapshot!(complaint(&denied), @"changes of /x are only polled for every few seconds: Permission denied (os error 13)");
    }
}
