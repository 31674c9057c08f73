//! `docs/templates.md`: its watches, word for word, write the files as described.

use super::super::fixture::daemon::Daemon;
use super::{Machine, TWITCHER, blocks, fenced};

const PAGE: &str = include_str!("../../../docs/templates.md");

/// A daemon with the only watch below a heading of the page, and the machine for its commands.
fn follow(heading: &str) -> (Daemon, Machine) {
    let mut daemon = Daemon::prepare("");
    let machine = Machine::new(daemon.place.path()).with("/etc/myapp", daemon.path("etc").display());
    machine
        .program("twitcher", &format!("exec '{TWITCHER}' -c '{}' \"$@\"", daemon.path("config").display()));
    std::fs::create_dir(daemon.path("etc")).unwrap();
    let [watch] = blocks(PAGE, heading, "toml").try_into().unwrap();
    daemon.write("page.toml", &machine.here(&watch));
    daemon.run();
    let [commands] = blocks(PAGE, heading, "sh").try_into().unwrap();
    machine.types(&commands);
    (daemon, machine)
}

#[test]
fn a_tree_is_rendered_to_a_file_and_a_failed_render_keeps_the_old_one() {
    let (daemon, machine) = follow("## A list of hosts, with jq");
    daemon.until_file("etc/hosts", |text| text == "10.0.0.1\tweb1\n10.0.0.2\tweb2\n");
    machine.types("twitcher del /hosts/web1");
    daemon.until_file("etc/hosts", |text| text == "10.0.0.2\tweb2\n");
    let failures = daemon.watch("hosts")["failures"].as_u64();
    machine.types("twitcher put /hosts/web2 'two words'");
    daemon.until_watch("hosts", |watch| watch["failures"].as_u64() > failures);
    assert_eq!(daemon.read("etc/hosts"), "10.0.0.2\tweb2\n");
    assert_eq!(std::fs::read_dir(daemon.path("etc")).unwrap().count(), 1, "a failed run leaves no file");
}

#[test]
fn a_value_is_written_to_a_file() {
    let (daemon, machine) = follow("## A file that is the value of one key");
    daemon.until_file("etc/motd", |text| text == "maintenance at noon");
    machine.types("twitcher put /files/motd over");
    daemon.until_file("etc/motd", |text| text == "over");
}

#[test]
fn a_state_that_validate_refuses_is_held_and_the_file_stays() {
    let (daemon, machine) = follow("## Check the keys before the action runs");
    let good = daemon.until_file("etc/limits", |text| text.contains("1024"));
    machine.types("twitcher put /limits/files many");
    daemon.until_watch("limits", |watch| watch["state"] == "held");
    assert_eq!(daemon.read("etc/limits"), good);
}

#[test]
fn every_block_of_the_page_is_run() {
    assert_eq!((fenced(PAGE, "toml").len(), fenced(PAGE, "sh").len()), (3, 3));
}
