//! What is typed by habit or by mistake, and what stands in the environment instead of on the command line.

use std::process::{Command, Output};

use crate::fixture::daemon::Daemon;
use crate::fixture::program::program;

fn typed(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn usual_slips_are_understood() {
    let version = text(&typed(&["version"]).stdout);
    assert_eq!(version, text(&typed(&["--version"]).stdout));
    for args in [&["list"][..], &["list", "/nginx", "--json"]] {
        let listed = typed(args);
        let told = text(&listed.stderr);
        assert_eq!(listed.status.code(), Some(2));
        assert!(told.contains("`twitcher status`") && told.contains("`twitcher ls`"), "{told}");
    }
    let slip = typed(&["stauts"]);
    assert!(
        slip.status.code() == Some(2) && text(&slip.stderr).contains("'status'"),
        "{}",
        text(&slip.stderr)
    );
    assert_eq!(typed(&["delete", "--help"]).stdout, typed(&["del", "--help"]).stdout);
    for (shell, beginning) in [
        ("bash", "# Completions of twitcher for bash"),
        ("zsh", "#compdef twitcher"),
        ("fish", "# Completions of"),
    ] {
        assert!(text(&typed(&["completions", shell]).stdout).starts_with(beginning), "{shell}");
    }
    let help = text(&typed(&["--help"]).stdout);
    assert!(help.contains("\n  generate ") && help.contains("\n  version "), "{help}");
    assert!(!help.contains("\n  completions") && !help.contains("\n  list"), "{help}");
}

#[test]
fn the_environment_names_the_configuration() {
    let daemon = Daemon::start("", &[("a.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n")]);
    let ask = |config: &str, args: &[&str]| {
        Command::new(program()).env("TWITCHER_CONFIG", config).args(args).output().unwrap()
    };
    let config = daemon.path("config").display().to_string();
    let table = ask(&config, &["status"]);
    assert!(text(&table.stdout).contains("1 watch: "), "{}", text(&table.stderr));
    // What is on the command line wins, and a directory that is named has to be there.
    let missing = ask("/nonexistent", &["status"]);
    assert!(text(&missing.stderr).contains("configuration directory /nonexistent: it does not exist"));
    assert!(ask("/nonexistent", &["-c", &config, "status"]).status.success());
}

#[test]
fn colour_is_as_the_command_line_says() {
    let daemon = Daemon::start("", &[("a.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n")]);
    let status = |when: &str, no_color: &str| {
        let config = daemon.path("config");
        let mut command = Command::new(program());
        command.arg("-c").arg(config).args(["status", "--color", when]).env("NO_COLOR", no_color);
        text(&command.output().unwrap().stdout)
    };
    for (when, no_color, expected) in
        [("auto", "", false), ("never", "", false), ("always", "", true), ("always", "1", true)]
    {
        assert_eq!(status(when, no_color).contains('\x1b'), expected, "{when} {no_color}");
    }
}
