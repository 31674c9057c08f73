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
        "When twitcher runs as root, it refuses a file that anyone but root can write or replace.",
    );
    page.control("SH", ["FIELDS"]);
    fields(&mut page, WATCH);
    page.control("SH", ["GUARD"]);
    for text in GUARD {
        paragraph(&mut page, text);
    }
    page.control("SH", ["FLEET"]);
    paragraph(
        &mut page,
        "With a table [watch.fleet], also an empty one, the watch acts on at most max_parallel hosts at once; see \
         twitcher-fleet(7). Each start then needs a permit: the watch must have a timeout and run_mode queue or restart, \
         and run_on_load is \"changed\" unless the file says otherwise. With max_parallel = \"unlimited\" no permits are \
         needed, and canary, waves, soak, hold and stop_on_failures are errors. fleet = false takes the watch out of the \
         fleet that [defaults.fleet] puts it in. A host can have only one watch of a group. A watch whose tree or children \
         contain the fleet's own keys cannot have this table. Changed fields take effect at once and do not restart the \
         watch, except group.",
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
    for text in ERRORS {
        paragraph(&mut page, text);
    }
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
         over twitcher.conf, so that all other files can be the same on every machine. Both are read at the same time.",
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
        "The table [defaults.fleet] is the [watch.fleet] of every watch that has no table of its own, except for group. It \
         is taken as a whole: a watch with a table of its own takes nothing from it. It does not apply to a watch on a \
         dir store and, where permits are needed, to a watch without timeout or with run_mode parallel or discard; \
         twitcher check says so.",
    );
    page.control("SH", ["FLEET"]);
    paragraph(
        &mut page,
        "The table [fleet] holds the settings of this machine for all of its groups; see [watch.fleet] in twitcher-watch(5).",
    );
    fields(&mut page, FLEET_SETTINGS);
    page.control("SH", ["STORES"]);
    paragraph(&mut page, "Each store is a table [store.NAME]. Watches and commands use it by its name.");
    fields(&mut page, STORE);
    paragraph(
        &mut page,
        "The path of an etcd URL is put before every key: the tree of / is all keys that begin with that path and a slash. \
         Without a path it is all keys, including those without a slash at the beginning, such as foo; for a user who \
         may not read all keys, it is those that begin with a slash. If both /foo and foo exist, trees show only /foo. \
         A key that is not UTF-8 or has a NUL character is left out of trees and of the names of children. A key that \
         is left out is never deleted with a tree.",
    );
    paragraph(
        &mut page,
        "Each release is tested on etcd 3.4.23 and 3.5.1, and on ZooKeeper 3.6.3, 3.8.0 and 3.9.4.",
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

/// How the guard of a watch works.
const GUARD: [&str; 2] = [
    "min_entries, max_shrink and validate are the guard of a watch. The daemon judges each state once, when settle is over \
     and before the state waits for anything else. A state that the guard refuses is held: the action does not get it, the \
     watch is not converged, and twitcher explain says why. Next: put a better state, or apply this one with twitcher \
     release. A held state is judged again after a restart of the daemon.",
    "validate takes a slot of max_processes while it runs, as a run does, and may have to wait for one. It needs none while a \
     run of its own watch is live and the state decides about that run: with run_mode = \"restart\", or with \
     notify_signal in run_mode = \"queue\". Otherwise a service that never ends could keep validate waiting for ever.",
];

/// What happens while `twitcher.conf` has errors.
const ERRORS: [&str; 4] = [
    "If the file has errors, twitcher reload changes nothing: the last valid version stays in effect. A daemon that starts \
     uses the valid parts of the file, and for each other part the last valid value. The daemon keeps these values in the \
     file settings of state_dir (mode 0600, without passwords). twitcher status, the log and the metric \
     twitcher_settings_broken report the errors. Next: run twitcher check, correct the file, and run twitcher reload.",
    "Where a part has no last valid value either, log, log_level and http_listen have their defaults, and the watches that \
     need another such part are not loaded. For a broken [store.NAME] these are the watches of that store; for \
     default_store, the watches that name no store; for [fleet], the watches that take part in a fleet; for \
     control_socket, none; for anything else, all.",
    "A table with an unknown name, such as [common], may have been meant for any table that the file lacks: [vars], \
     [defaults], [fleet] or a store. A daemon that starts therefore uses the last valid values of all of these, and \
     without any loads no watch.",
    "The daemon finds state_dir and control_socket even in a file that is not TOML, if each is on a line of its own. If it \
     cannot find state_dir, it uses /var/lib/twitcher if the settings kept there name that directory; otherwise it exits \
     with status 1.",
];

/// How ZooKeeper is watched, what that costs a server, and what a server may send.
const ZOOKEEPER: [&str; 3] = [
    "A ZooKeeper server since 3.8.4 or 3.9.2, or an older one with the fix of CVE-2024-23944, drops a watch without an event \
     if the node changes while its ACL denies the daemon read access. The daemon would notice such a change only after \
     verify_interval. Therefore it also polls each watched node with exists, which transfers no value and works on a node \
     that cannot be read. It polls up to 800 nodes every 8 seconds; beyond that it polls 100 nodes a second, all its stores \
     together, so that 1000 nodes take 10 seconds and 10,000 nodes 100 seconds. A watch is unreachable while its node, or a \
     node of its tree, cannot be read.",
    "These polls cost a server CPU time but no disk access, because the server that the host is connected to answers exists \
     from memory. 1000 hosts with 20 nodes each send 2500 requests a second, which took 0.3 of one core of a single \
     ZooKeeper 3.8; with 100 nodes each, 12500 requests a second took 0.8 of one core. The servers and observers of an \
     ensemble share this load. To reduce it, watch fewer nodes: the children of one node, or one value that names the \
     others.",
    "The daemon reads no answer of more than 72 MiB, takes at most 100,000 events a second from a connection, and limits the \
     memory for events that wait. If a server sends more, its store is unreachable, with the reason. Other stores are not \
     affected.",
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
    (
        "TWITCHER_PERMIT",
        "number of the permit, which rises within a group; only for a watch that needs permits",
    ),
    (
        "TWITCHER_OUTCOME, TWITCHER_EXIT_CODE",
        "only for on_give_up: failed, killed, timed_out, not_started or held, and the exit code of the last run (if held, of \
         validate), if there is one",
    ),
    ("TWITCHER_HOST", "name of this host"),
    (
        "TWITCHER_VAR_NAME",
        "the value of the variable NAME of [vars], whose name is written in capitals and with _ for -",
    ),
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
