//! The pages that users follow: a shell runs every command in them, word for word.
//!
//! Only names of other machines and paths of this one are substituted, and programs that would change this machine
//! (`sudo`, `apt-get`, `systemctl`) are stubs.

mod containers;
mod git_pull;
mod help;
mod installed;
mod readme;
mod templates;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fixture::executable;

pub(crate) const TWITCHER: &str = env!("CARGO_BIN_EXE_twitcher");

/// The fenced blocks of a language below a heading, up to the next one.
pub(crate) fn blocks(page: &str, heading: &str, language: &str) -> Vec<String> {
    let after = page.split(&format!("\n{heading}\n")).nth(1);
    let after = after.unwrap_or_else(|| panic!("the page has no heading {heading:?}"));
    // A single # begins a comment in the blocks.
    fenced(after.split("\n##").next().unwrap(), language)
}

/// Every fenced block of a language.
pub(crate) fn fenced(page: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    page.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A machine for the commands: its own paths instead of the page's, and its own programs first in `PATH`.
pub(crate) struct Machine {
    programs: PathBuf,
    home: PathBuf,
    /// Text of the page and its replacement. The longest is replaced first.
    places: BTreeMap<String, String>,
}

impl Machine {
    /// A machine in a directory, where commands also start.
    pub(crate) fn new(home: &Path) -> Self {
        let machine =
            Self { programs: home.join("programs"), home: home.to_owned(), places: BTreeMap::new() };
        std::fs::create_dir_all(&machine.programs).unwrap();
        machine
    }

    pub(crate) fn with(mut self, page: &str, here: impl std::fmt::Display) -> Self {
        self.places.insert(page.to_owned(), here.to_string());
        self
    }

    /// A program of this machine, as a shell script.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.programs.join(name);
        executable::write(&path, &format!("#!/bin/sh\n{script}\n"));
    }

    /// The text with this machine's paths.
    pub(crate) fn here(&self, text: &str) -> String {
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_by_key(|(page, _)| std::cmp::Reverse(page.len()));
        places.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page.as_str(), here))
    }

    /// A shell with a block, ready to be started.
    pub(crate) fn shell(&self, block: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        let path = std::env::var("PATH").unwrap();
        shell.args(["-eu", "-c", &self.here(block)]).current_dir(&self.home).stdin(Stdio::null());
        shell.env("PATH", format!("{}:{path}", self.programs.display())).env("HOME", &self.home);
        shell.env("NO_COLOR", "1").env_remove("TWITCHER_STORE").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            shell
                .env(format!("GIT_{who}_NAME"), "somebody")
                .env(format!("GIT_{who}_EMAIL"), "somebody@example");
        }
        shell
    }

    /// Runs a block, which must succeed. Returns its output.
    #[track_caller]
    pub(crate) fn types(&self, block: &str) -> String {
        let output = self.shell(block).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}:\n{printed}{errors}", self.here(block));
        printed
    }
}

#[test]
fn every_make_target_named_in_a_page_exists() {
    let makefiles = concat!(include_str!("../../Makefile"), include_str!("../../packaging/packages.mk"));
    let pages = [include_str!("../../README.md"), include_str!("../../docs/CONTRIBUTING.md")];
    let lines = pages.iter().flat_map(|page| fenced(page, "sh")).collect::<String>();
    let mut seen = 0;
    for line in lines.lines().filter_map(|line| line.trim().strip_prefix("make ")) {
        let targets = line.split('#').next().unwrap().split_whitespace();
        for target in targets.take_while(|word| !word.contains('=')) {
            seen += 1;
            let found = makefiles.lines().any(|rule| {
                rule.split_once(':')
                    .is_some_and(|(names, _)| names.split_whitespace().any(|name| name == target))
            });
            assert!(found, "a page says `make {target}`, and no Makefile has it");
        }
    }
    assert!(seen > 0);
}
