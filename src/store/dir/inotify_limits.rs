//! What to do where the system has no inotify watch or instance left, for a store and for the configuration directory.

/// For `ENOSPC` of `inotify_add_watch`.
pub(crate) const NO_WATCH: &str = "this user has no inotify watch left; raise it, for example \
    `sysctl fs.inotify.max_user_watches=524288`, and write that to a file in /etc/sysctl.d";
/// For `EMFILE` of `inotify_init`.
pub(crate) const NO_INSTANCE: &str = "no inotify instance or file descriptor is left; raise sysctl \
    fs.inotify.max_user_instances or the limit of open files (LimitNOFILE)";
