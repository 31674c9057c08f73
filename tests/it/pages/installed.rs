//! `make install`: what packagers get, for the packages' prefix and for another one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::TWITCHER;

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// An installation below a directory of its own.
struct Installed {
    place: tempfile::TempDir,
    prefix: &'static str,
}

impl Installed {
    fn below(prefix: &'static str) -> Self {
        let place = tempfile::Builder::new().prefix("twitcher-install.").tempdir().unwrap();
        let mut make = Command::new("make");
        // This test may itself be run by make.
        for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
            make.env_remove(variable);
        }
        make.current_dir(SOURCES).args(["--silent", "install"]).arg(format!("BINARY={TWITCHER}"));
        make.arg(format!("DESTDIR={}", place.path().display())).arg(format!("PREFIX={prefix}"));
        let output = make.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { place, prefix }
    }

    fn root(&self) -> &Path {
        self.place.path()
    }

    /// A file below PREFIX.
    fn path(&self, name: &str) -> PathBuf {
        self.root().join(self.prefix.trim_start_matches('/')).join(name)
    }

    fn read(&self, name: &str) -> String {
        let path = self.path(name);
        if path.extension().is_some_and(|extension| extension == "gz") {
            let output = Command::new("gzip").args(["-dc"]).arg(&path).output().unwrap();
            assert!(output.status.success(), "{}", path.display());
            return String::from_utf8(output.stdout).unwrap();
        }
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn names(&self, directory: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.path(directory)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// The links of a page to files.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#'))
}

#[test]
fn every_link_has_a_target() {
    let installed = Installed::below("/usr");
    let sources = Path::new(SOURCES);
    let mut pages: Vec<PathBuf> = vec![sources.join("README.md")];
    for directory in [sources.join("docs"), installed.path("share/doc/twitcher")] {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let mut seen = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let target = match link.strip_prefix('/') {
                Some(path) => installed.root().join(path),
                None => page.parent().unwrap().join(link),
            };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn every_command_has_an_installed_manual_page() {
    let installed = Installed::below("/usr");
    let help = String::from_utf8(Command::new(TWITCHER).arg("--help").output().unwrap().stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut expected: BTreeSet<String> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|command| *command != "help")
        .map(|command| format!("twitcher-{command}.1.gz"))
        .collect();
    assert!(expected.len() >= 18, "{expected:?}");
    expected.insert("twitcher.1.gz".into());
    let of_fleet =
        ["status", "hosts", "wait", "pause", "resume", "abort", "promote", "retry", "set", "unset", "forget"];
    expected.extend(of_fleet.map(|command| format!("twitcher-fleet-{command}.1.gz")));
    let pages = installed.names("share/man/man1");
    assert_eq!(pages, expected);
    let all = pages.iter().map(|name| format!("share/man/man1/{name}"));
    let others = [
        "man5/twitcher.conf.5",
        "man5/twitcher-watch.5",
        "man7/twitcher-fleet.7",
        "man7/twitcher-json.7",
        "man7/twitcher-metrics.7",
    ];
    for name in all.chain(others.map(|name| format!("share/man/{name}.gz"))) {
        let page = installed.read(&name).replace("\\-", "-");
        assert!(
            page.contains(".SH EXAMPLE") && page.contains(".SH SYNOPSIS") != name.contains("man7"),
            "{name}:\n{page}"
        );
        if name.contains("man1") {
            let command = name.rsplit('/').next().unwrap().trim_end_matches(".1.gz").replace('-', " ");
            assert!(
                page.contains(&format!(".SH SYNOPSIS\n{command} ")),
                "{name} has another synopsis:\n{page}"
            );
            assert!(
                page.contains(".SH \"EXIT STATUS\"") && page.contains(".SH ENVIRONMENT"),
                "{name}:\n{page}"
            );
            let example = page.split(".SH EXAMPLES\n.nf\n").nth(1).unwrap_or_default();
            assert!(example.starts_with("  twitcher") || example.starts_with("twitcher"), "{name}:\n{page}");
        }
        let sections = ["(1)", "(5)", "(7)"];
        for (at, _) in sections.iter().flat_map(|section| page.match_indices(section)) {
            let referred =
                page[..at].rsplit(|c: char| !c.is_alphanumeric() && !"-._".contains(c)).next().unwrap();
            let section = &page[at + 1..at + 2];
            let file = format!("share/man/man{section}/{referred}.{section}.gz");
            assert!(
                !referred.starts_with("twitcher") || installed.path(&file).exists(),
                "{name} refers to {referred}({section})"
            );
        }
        assert!(page.contains(".SH \"SEE ALSO\"") && !page.contains(".SH EXTRA"), "{name}:\n{page}");
    }
}

#[test]
fn everything_but_etc_is_installed_below_the_prefix() {
    for prefix in ["/usr", "/opt/twitcher"] {
        let installed = Installed::below(prefix);
        let top = installed.root().join(prefix.split('/').nth(1).unwrap());
        let etc = installed.root().join("etc");
        let tops: BTreeSet<PathBuf> =
            std::fs::read_dir(installed.root()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(tops, BTreeSet::from([top, etc.clone()]));
        assert!(etc.join("twitcher/twitcher.conf").exists());

        let version = Command::new(installed.path("bin/twitcher")).arg("--version").output().unwrap();
        assert!(String::from_utf8(version.stdout).unwrap().contains(env!("CARGO_PKG_VERSION")));
        let unit = installed.read("lib/systemd/system/twitcher.service");
        let commands: Vec<&str> = unit
            .lines()
            .filter_map(|line| line.strip_prefix("Exec")?.split_once('='))
            .map(|(_, c)| c)
            .collect();
        assert_eq!(commands.len(), 3);
        for command in commands {
            assert!(
                command.trim_start_matches('-').starts_with(&format!("{prefix}/bin/twitcher ")),
                "{command}"
            );
        }
        // Editors find the schema that a sample names.
        for example in installed.names("share/doc/twitcher/examples") {
            let text = installed.read(&format!("share/doc/twitcher/examples/{example}"));
            let schema = text.lines().next().unwrap().strip_prefix("#:schema file:///").unwrap();
            assert!(installed.root().join(schema).exists(), "{example}: {schema}");
            assert_eq!(text, installed.read(&format!("share/twitcher/examples/{example}")));
        }
        for completion in [
            "bash-completion/completions/twitcher",
            "fish/vendor_completions.d/twitcher.fish",
            "zsh/site-functions/_twitcher",
        ] {
            assert!(installed.read(&format!("share/{completion}")).contains("twitcher"), "{completion}");
        }
        assert!(installed.read("share/doc/twitcher/changelog.gz").contains(env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn the_manual_explains_every_field_with_its_default() {
    let installed = Installed::below("/usr");
    for (page, schema) in [("twitcher-watch", "watch"), ("twitcher.conf", "twitcher.conf")] {
        let page = installed.read(&format!("share/man/man5/{page}.5.gz")).replace("\\-", "-");
        let schema: serde_json::Value =
            serde_json::from_str(&installed.read(&format!("share/twitcher/{schema}.schema.json"))).unwrap();
        let table = match schema["properties"].get("watch") {
            Some(watch) => &watch["items"]["properties"],
            None => &schema["properties"],
        };
        for (field, about) in table.as_object().unwrap() {
            let title = format!("\\fB{field}\\fR");
            // A table of twitcher.conf is explained as a table.
            let tables = [format!("[{field}]"), format!("[{field}."), format!("[watch.{field}]")];
            if !page.contains(&title) {
                assert!(
                    about["type"] == "object" || about["anyOf"][1]["type"] == "object",
                    "{field}: {about}"
                );
                assert!(tables.iter().any(|table| page.contains(table)), "{field}");
                continue;
            }
            let (_, text) = page.split_once(&title).unwrap_or_else(|| panic!("{field} is not in the manual"));
            let text = text.split(".TP\n\\fB").next().unwrap();
            assert!(text.contains("Default: ") || text.contains("Required."), "{field}: {text}");
        }
    }
}
