//! The manual pages of section 5, generated from the table of fields.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::config::fields::{DAEMON, FLEET, FLEET_SETTINGS, Field, Kind, STORE, TLS, WATCH, Word};

/// twitcher-watch(5).
pub(super) fn watch() -> String {
    let mut page = start("twitcher-watch", "watch files of twitcher");
    page.control("SH", ["SYNOPSIS"]);
    page.text([italic("/etc/twitcher/**/*.toml")]);
    page.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut page,
        "A watch file is TOML and holds one or more [[watch]] tables. Files are found in all directories below \
         /etc/twitcher and read again whenever they change; hidden files and what editors and package managers leave \
         behind are not read. A file with a mistake changes nothing of what runs; twitcher check and twitcher status \
         show it with line and column. A watch whose meaning did not change keeps its process, timers and history.",
    );
    paragraph(
        &mut page,
        "When twitcher runs as root, a file that somebody but root could write, by itself or through its directory, \
         is refused.",
    );
    page.control("SH", ["FIELDS"]);
    fields(&mut page, WATCH);
    page.control("SH", ["FLEET"]);
    paragraph(
        &mut page,
        "With a table [watch.fleet], also an empty one, the watch acts on at most so many hosts at once. Each start then \
         needs a permit: timeout must be written, run_mode is queue or restart, and run_on_load is \"changed\" unless it \
         is written. With max_parallel = \"unlimited\" there are no permits, and canary, waves, soak, hold and \
         stop_on_failures cannot be written. fleet = false takes the watch out of the fleet of [defaults.fleet]. A host \
         has one watch of a group. A tree or children that hold the fleet's own keys cannot be watched with this table. \
         Changed fields take effect at once; only another group is another watch.",
    );
    fields(&mut page, FLEET);
    page.control("SH", ["ENVIRONMENT OF AN ACTION"]);
    paragraph(
        &mut page,
        "Only PATH, HOME, USER, LOGNAME, SHELL, LANG, what env says, and these. The state comes on standard input.",
    );
    for (name, text) in VARIABLES {
        page.control("TP", []);
        page.text([bold(*name)]);
        page.text([roman(*text)]);
    }
    page.control("SH", ["EXAMPLE"]);
    example(
        &mut page,
        "[[watch]]\nname = \"git-pull\"\nkey = \"/git/head\"\naction = \"git pull --quiet\"\ncwd = \"/srv/app\"\nuid = \
         \"deploy\"\ntimeout = \"2m\"",
    );
    paragraph(&mut page, "More are in /usr/share/twitcher/examples.");
    finish(page, "twitcher(1), twitcher-check(1), twitcher.conf(5)")
}

/// twitcher.conf(5).
pub(super) fn conf() -> String {
    let mut page = start("twitcher.conf", "settings and stores of twitcher");
    page.control("SH", ["SYNOPSIS"]);
    page.text([italic("/etc/twitcher/twitcher.conf")]);
    page.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut page,
        "TOML, and optional: without it, watches look at files below /var/lib/twitcher/keys. It is read at start and \
         on twitcher reload or SIGHUP.",
    );
    paragraph(
        &mut page,
        "While it has errors, twitcher reload changes nothing: the last valid version stays in effect. A daemon that starts \
         takes what is right in it, and of the rest the last valid values, which it keeps in the file settings of \
         state_dir (mode 0600; passwords are never in it). Where there are none, log, log_level and http_listen have their \
         defaults, and no watch is loaded that needs what is not known: those of a broken [store.NAME]; of a broken \
         default_store, those that name no store; of a broken [fleet], those of fleets; of anything else, all. twitcher \
         status, the log and the metric twitcher_settings_broken say so. state_dir and control_socket are read in a line of \
         their own even if the file is not TOML. Without a known state_dir the daemon uses /var/lib/twitcher if settings \
         that name it are kept there; else it does not start.",
    );
    page.control("SH", ["SETTINGS"]);
    fields(&mut page, DAEMON);
    page.control("SH", ["NAMES FOR THIS MACHINE"]);
    paragraph(
        &mut page,
        "The table [vars] holds names and strings, such as role = \"web\". In key, cwd and env of watch files ${role} \
         stands for web, and ${host} for the name of this machine; $${ is a literal ${. Actions get them as \
         TWITCHER_VAR_ROLE and TWITCHER_HOST.",
    );
    paragraph(
        &mut page,
        "What differs between machines may stand in /etc/twitcher/local.conf: host and [vars], nothing else. It wins \
         over twitcher.conf, so that all other files can be the same on every machine, and it is read when that is.",
    );
    page.control("SH", ["DEFAULTS"]);
    paragraph(
        &mut page,
        "The table [defaults] holds fields of watch files, for every watch that does not say otherwise: any but name, \
         description, key, action, script and hosts. env and limits are merged by name, and the watch wins. A default \
         that does not fit a watch, such as notify_signal with run_mode = \"restart\", is skipped for it.",
    );
    paragraph(
        &mut page,
        "The table [defaults.fleet] is the [watch.fleet] of every watch that has no table of its own, but for group. It is \
         taken as a whole: a watch with a table of its own takes nothing from it. It is skipped for watches whose \
         run_mode is parallel or discard or that have no timeout, where permits need these, and for watches of a dir \
         store, and twitcher check says so.",
    );
    page.control("SH", ["FLEET"]);
    paragraph(
        &mut page,
        "The table [fleet] is about this machine in its fleets; see [watch.fleet] in twitcher-watch(5).",
    );
    fields(&mut page, FLEET_SETTINGS);
    page.control("SH", ["STORES"]);
    paragraph(&mut page, "Each store is a table [store.NAME]. Watches and commands use it by its name.");
    fields(&mut page, STORE);
    paragraph(
        &mut page,
        "The path of an etcd URL is put before every key. The top of such a store, the key /, holds the keys that begin \
         with that path and a slash; without a path, all keys, also one without a slash at its beginning such as foo, \
         and for a user who may not read all, those that begin with a slash. Where there is /foo, foo is left out of \
         trees until /foo is gone. A key that is not UTF-8 or has a NUL character is left out of trees and of the names \
         of children. What is left out is never deleted with a tree.",
    );
    paragraph(
        &mut page,
        "Before each release the tests of the stores run on etcd 3.4.23 and 3.5.1, and on ZooKeeper 3.6.3, 3.8.0 and \
         3.9.4.",
    );
    page.control("SH", ["ZOOKEEPER"]);
    for text in ZOOKEEPER {
        paragraph(&mut page, text);
    }
    page.control("SH", ["TLS"]);
    paragraph(&mut page, "The table [store.NAME.tls], for etcd and ZooKeeper, turns TLS on.");
    fields(&mut page, TLS);
    page.control("SH", ["EXAMPLE"]);
    example(
        &mut page,
        "default_store = \"main\"\n\n[store.main]\nurl = \"etcd://etcd1:2379,etcd2:2379,etcd3:2379/prod\"\nusername = \
         \"twitcher\"\npassword_file = \"/etc/twitcher/etcd.password\"\n\n[store.main.tls]\nca = \
         \"/etc/ssl/etcd/ca.pem\"",
    );
    finish(page, "twitcher(1), twitcher-check(1), twitcher-watch(5)")
}

/// What its operators want to know.
const ZOOKEEPER: [&str; 3] = [
    "A server since 3.8.4 and 3.9.2, and one with the fix of CVE-2024-23944, delivers no event to a session that may not \
     read the node at that moment, and forgets the watch. A node whose ACL was closed for milliseconds around a write, or \
     that was created closed and opened later, would not be seen until verify_interval. So each node is also asked for \
     with exists, which transfers no value and shows also what is closed, every 8 seconds: up to 800 nodes of a daemon, each \
     within 10 seconds up to 1000. Beyond that a daemon asks for 100 nodes a second, all its stores together, and needs \
     longer for each. What can no longer be read is unreachable until it can, and so is a tree with such a node.",
    "What this costs the server: 1000 hosts with 20 nodes each are 2500 requests a second, measured as 0.3 of one core of a \
     single ZooKeeper 3.8 (60 to 120 microseconds of CPU for each request, the more of them arrive together the less) and \
     no disk, because exists is answered from memory by the server that the host is connected to. 1000 hosts with 100 \
     nodes each are 12500 requests a second and 0.8 of a core, shared by all servers and observers of the ensemble. \
     Fewer nodes cost less: watch the children of a node, or one value that names the others.",
    "An answer of more than 72 MiB is not read, 100,000 events a second and more are not taken, and events that wait are \
     bounded too. A server that sends more is unreachable, with the reason; it costs the watches of its own store alone.",
];

const VARIABLES: &[(&str, &str)] = &[
    ("TWITCHER_WATCH", "name of the watch"),
    ("TWITCHER_STORE, TWITCHER_KEY", "as configured"),
    ("TWITCHER_REASON", "load, change, delete, retry, trigger or recovery"),
    (
        "TWITCHER_VERSION",
        "the state's version: of etcd the revision, of ZooKeeper the mzxid or pzxid, of a directory a hash of the \
         content",
    ),
    ("TWITCHER_ATTEMPT", "1, and more for retries"),
    ("TWITCHER_COALESCED", "how many updates this run stands for"),
    ("TWITCHER_RUN", "unique id of the run, in every log line of it"),
    ("TWITCHER_PERMIT", "number of the permit to run, which rises within a group; only with [watch.fleet]"),
    (
        "TWITCHER_OUTCOME, TWITCHER_EXIT_CODE",
        "of on_give_up alone: failed, killed, timed_out, not_started or held, and the exit code of the last run if it \
         had one",
    ),
    ("TWITCHER_HOST", "name of this host"),
    ("TWITCHER_VAR_NAME", "the value of each name of [vars], in capitals and with _ for -"),
];

/// What the pages are about, at their foot.
pub(in crate::cli) const VERSION: &str = concat!("twitcher ", env!("CARGO_PKG_VERSION"));

/// The date of this version in the changelog: that of its newest dated entry.
pub(super) fn date() -> &'static str {
    let changes = include_str!("../../../docs/CHANGELOG.md");
    let versions = changes.lines().filter(|line| line.starts_with("## ["));
    versions.filter_map(|line| line.split_once("] - ")).map(|(_, date)| date).next().unwrap_or_default()
}

fn start(name: &str, what: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name, "5", date(), VERSION, "File formats"]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {what}"))]);
    page
}

fn paragraph(page: &mut Roff, text: &str) {
    page.control("PP", []);
    page.text([roman(text)]);
}

fn example(page: &mut Roff, text: &str) {
    page.control("PP", []);
    page.control("nf", []);
    page.text([roman(text)]);
    page.control("fi", []);
}

fn fields(page: &mut Roff, fields: &[Field]) {
    for field in fields {
        page.control("TP", []);
        let mut title: Vec<Inline> = vec![bold(field.name)];
        if let Some(alias) = field.alias {
            title.extend([roman(" or "), bold(alias)]);
        }
        title.push(roman(format!(" = {}", field.kind.expected().replace('`', ""))));
        page.text(title);
        page.text([roman(match field.default {
            Some(default) => format!("{} Default: {}.", field.doc, default.replace('`', "")),
            None => format!("{} Required.", field.doc),
        })]);
        for word in words(field) {
            page.control("RS", []);
            page.control("TP", []);
            page.text([bold(format!("\"{}\"", word.word))]);
            page.text([roman(word.doc)]);
            page.control("RE", []);
        }
        // An example of several lines, such as a script, gets its own block.
        if field.example.contains('\n') {
            page.control("IP", []);
            page.control("nf", []);
            page.text([roman(field.sample())]);
            page.control("fi", []);
        } else {
            page.control("IP", []);
            page.text([roman("Example: "), italic(field.sample())]);
        }
    }
}

/// The words that a field explains one by one.
fn words(field: &Field) -> Vec<Word> {
    if let Kind::FlagOr(words) | Kind::Choice(words) | Kind::Log(words) = field.kind {
        words.to_vec()
    } else if let Kind::Share(word) = field.kind {
        vec![word]
    } else {
        Vec::new()
    }
}

fn finish(mut page: Roff, see_also: &str) -> String {
    page.control("SH", ["SEE ALSO"]);
    page.text([roman(see_also)]);
    page.to_roff()
}
