//! Directories whose changes cause no events, because no inotify watch or instance is left.

use crate::fixture::daemon::Daemon;

/// A daemon in a user namespace with an inotify limit of its own.
fn limited(setting: &str, limit: u32, watches: usize) -> Daemon {
    assert!(
        nix::unistd::geteuid().is_root(),
        "these tests make a user namespace with limits of its own: run them as root"
    );
    let mut daemon = Daemon::prepare("");
    for number in 0..watches {
        daemon.put(&format!("/d{number}/a"), "1");
        let out = daemon.path(&format!("out{number}"));
        daemon.write(
            &format!("w{number}.toml"),
            &format!("[[watch]]\nkey = '/d{number}/a'\naction = 'cat >> {}'\n", out.display()),
        );
    }
    // The limit counts for the user in its namespace and in those above: one of a new namespace can be lowered alone.
    let script = format!("echo {limit} > /proc/sys/user/{setting}; exec \"$0\" \"$@\"");
    daemon.run_through(&["unshare", "--user", "--map-root-user", "sh", "-c", &script]);
    daemon
}

fn complaints(daemon: &Daemon) -> String {
    daemon.status()["daemon"]["complaints"].to_string()
}

#[test]
fn a_directory_without_inotify_watches_is_polled_and_status_says_so() {
    let daemon = limited("max_inotify_watches", 12, 8);
    for number in 0..8 {
        daemon.until_converged(&format!("w{number}"));
    }
    let said = complaints(&daemon);
    assert!(
        said.contains("store local: changes of") && said.contains("fs.inotify.max_user_watches"),
        "{said}"
    );
    for number in 0..8 {
        daemon.put(&format!("/d{number}/a"), "2");
    }
    for number in 0..8 {
        daemon.until_file(&format!("out{number}"), |text| text == "12");
    }
    assert!(daemon.say(&["status"]).contains("only polled for every few seconds"), "the table says so, too");
}

#[test]
fn a_directory_without_an_inotify_instance_is_polled_and_status_says_so() {
    let daemon = limited("max_inotify_instances", 1, 1);
    daemon.until_converged("w0");
    let said = complaints(&daemon);
    assert!(said.contains("store local: changes of 1 key") && said.contains("max_user_instances"), "{said}");
    daemon.put("/d0/a", "2");
    daemon.until_file("out0", |text| text == "12");
}
