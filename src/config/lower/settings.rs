//! The meaning of `twitcher.conf`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fleet;
use super::gaps::{LOCAL, Missing};
use super::store_name::unknown_store;
use crate::config::problem::{Problem, SourceText};
use crate::config::raw::{Local, Part, RawFleet, RawSettings, RawStore, RawTable};
use crate::config::{CONTROL_SOCKET, LogDestination, LogLevel, Settings};
use crate::ledger::HISTORY_BYTES;
use crate::store::{Credentials, StoreSpec, StoreUrl, Tls, TreeLimits};
use crate::watch::StoreName;

/// `state_dir` if `twitcher.conf` names none.
pub(in crate::config) const STATE_DIR: &str = "/var/lib/twitcher";
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// `sun_path` of unix(7), with its NUL.
const LONGEST_SOCKET: usize = 107;

/// The settings without a `twitcher.conf`.
pub(in crate::config) fn fallback(local: &Local) -> Option<Settings> {
    let raw = crate::config::raw::settings(Path::new("twitcher.conf").into(), "", local);
    lower(&raw).0
}

/// Lowers the parsed file. Returns settings exactly if no error prevents it.
pub(in crate::config) fn lower(raw: &RawSettings) -> (Option<Settings>, Vec<Problem>) {
    let LoweredSettings { settings, problems, blamed: _ } = lower_parts(raw, &Missing::default());
    (settings, problems)
}

/// The result of lowering a parsed file.
pub(in crate::config) struct LoweredSettings {
    /// `Some` exactly if there is no problem.
    pub(in crate::config) settings: Option<Settings>,
    pub(in crate::config) problems: Vec<Problem>,
    /// The parts with errors.
    pub(in crate::config) blamed: BTreeSet<Part>,
}

/// Like [`lower`], for a file in which these stores are missing.
pub(in crate::config) fn lower_parts(raw: &RawSettings, missing: &Missing) -> LoweredSettings {
    let RawSettings { source, daemon, machine, fleet, defaults, .. } = raw;
    let mut problems = raw.problems.clone();
    let mut blamed = raw.blamed.clone();
    let mut said = problems.len();
    let mut blame = |part: Part, problems: &Vec<Problem>| {
        if std::mem::replace(&mut said, problems.len()) < problems.len() {
            blamed.insert(part);
        }
    };
    let state_dir = daemon.path("state_dir").map_or_else(|| PathBuf::from(STATE_DIR), |at| at.value);
    let mut stores = BTreeMap::new();
    for (name, store) in &raw.stores {
        if let Some(spec) = lower_store(source, name, store, &mut problems) {
            stores.insert(name.clone(), spec);
        }
        blame(Part::Store(name.clone()), &problems);
    }
    let Ok(local) = StoreName::new(LOCAL) else {
        return LoweredSettings { settings: None, problems, blamed };
    };
    if !raw.stores.contains_key(&local) && !missing.named.contains(&local) {
        let url = StoreUrl::Dir { root: state_dir.join("keys") };
        stores.insert(local.clone(), StoreSpec::new(local.clone(), url));
    }
    let default_store = default_store(raw, &local, missing, &mut problems);
    blame(Part::Setting("default_store"), &problems);
    if let Some(at) = defaults.text("store")
        && !raw.stores.contains_key(at.value.as_str())
        && at.value != LOCAL
        && !missing.may_be(&at.value)
    {
        let names = stores.keys().map(StoreName::as_str);
        problems.push(unknown_store(source.problem(at.span, ""), &at.value, names));
    }
    if let RawFleet::Written(table) = &defaults.fleet {
        for fault in fleet::term_faults(table) {
            problems.push(source.problem(fault.span, fault.message).with_help(fault.help));
        }
    }
    blame(Part::Defaults, &problems);
    let fleet = fleet::settings(source, fleet.as_ref(), &defaults.fleet, &stores, missing, &mut problems);
    blame(Part::Fleet, &problems);
    let Some(fleet) = fleet else { return LoweredSettings { settings: None, problems, blamed } };
    let control_socket =
        daemon.path("control_socket").map_or_else(|| PathBuf::from(CONTROL_SOCKET), |at| at.value);
    if control_socket.as_os_str().len() > LONGEST_SOCKET {
        problems.push(
            source
                .problem(
                    daemon.span("control_socket"),
                    format!("the path of a socket has at most {LONGEST_SOCKET} bytes"),
                )
                .with_help("choose a shorter one, for example below /run"),
        );
    }
    blame(Part::Setting("control_socket"), &problems);
    let settings = Settings {
        default_store,
        state_dir,
        control_socket,
        log: match daemon.word("log") {
            Some("syslog") => LogDestination::Syslog,
            Some("journald") => LogDestination::Journald,
            Some("stderr") => LogDestination::Stderr,
            Some("json") => LogDestination::Json,
            Some(_) | None => daemon
                .log_server("log")
                .map_or(LogDestination::Auto, |server| LogDestination::Server(server.clone())),
        },
        log_level: match daemon.word("log_level") {
            Some("error") => LogLevel::Error,
            Some("warn") => LogLevel::Warn,
            Some("debug") => LogLevel::Debug,
            Some("trace") => LogLevel::Trace,
            Some(_) | None => LogLevel::Info,
        },
        max_processes: daemon
            .number("max_processes")
            .and_then(|at| u32::try_from(at.value).ok())
            .unwrap_or(256),
        history_bytes: daemon
            .number("history_bytes")
            .and_then(|at| u64::try_from(at.value).ok())
            .unwrap_or(HISTORY_BYTES),
        shutdown_grace: daemon.duration("shutdown_grace").map_or(Duration::from_secs(20), |at| at.value),
        http_listen: daemon.address("http_listen").map(|at| at.value),
        machine: Arc::clone(machine),
        fleet,
        defaults: Arc::new(defaults.defaults()),
        stores,
    };
    problems.sort_by_key(|problem| problem.place);
    LoweredSettings { settings: problems.is_empty().then_some(settings), problems, blamed }
}

fn default_store(
    raw: &RawSettings,
    local: &StoreName,
    missing: &Missing,
    problems: &mut Vec<Problem>,
) -> StoreName {
    let Some(at) = raw.daemon.text("default_store") else { return local.clone() };
    let known =
        |name: &StoreName| name == local || raw.stores.contains_key(name) || missing.may_be(name.as_str());
    match StoreName::new(&at.value) {
        Ok(name) if known(&name) => name,
        Ok(_) | Err(_) => {
            let names = raw.stores.keys().map(StoreName::as_str).chain([LOCAL]);
            problems.push(unknown_store(raw.source.problem(at.span, ""), &at.value, names));
            local.clone()
        }
    }
}

fn lower_store(
    source: &SourceText,
    name: &StoreName,
    raw: &RawStore,
    problems: &mut Vec<Problem>,
) -> Option<StoreSpec> {
    let RawStore { table, tls } = raw;
    let before = problems.len();
    let mut url = table.url("url")?.value;
    match &mut url {
        StoreUrl::Etcd { tls: secure, .. } => {
            *secure |= tls.is_some();
            only(source, table, problems, "an etcd", &["digest_file", "session_timeout"]);
            together(source, table, problems, "username", "password_file");
        }
        StoreUrl::ZooKeeper { tls: secure, .. } => {
            *secure |= tls.is_some();
            only(source, table, problems, "a ZooKeeper", &["username", "password_file"]);
        }
        StoreUrl::Dir { .. } => {
            let unused = ["digest_file", "session_timeout", "username", "password_file"];
            only(source, table, problems, "a `dir`", &unused);
            if let Some(tls) = tls {
                let problem = source.problem(tls.head.clone(), "a `dir` store has no TLS");
                problems.push(problem.with_help("remove the table"));
            }
        }
    }
    if let Some(tls) = tls {
        together(source, tls, problems, "cert", "key");
    }
    let session_timeout = table.duration("session_timeout");
    if let Some(at) = &session_timeout
        && !(Duration::from_secs(1)..=Duration::from_mins(10)).contains(&at.value)
    {
        let problem = source.problem(at.span.clone(), "`session_timeout` must be from 1 s to 10 m");
        problems.push(problem.with_help("servers take 2 to 20 times their tickTime, usually 4 s to 40 s"));
    }
    let secure = match &url {
        StoreUrl::Etcd { tls, .. } | StoreUrl::ZooKeeper { tls, .. } => *tls,
        StoreUrl::Dir { .. } => false,
    };
    let path = |table: &RawTable, field: &str| table.path(field).map(|at| at.value);
    let files = tls.as_ref().map(|table| Tls {
        ca: path(table, "ca"),
        cert: path(table, "cert"),
        key: path(table, "key"),
        server_name: table.text("server_name").map(|at| at.value),
    });
    let password = table.text("username").zip(path(table, "password_file"));
    let credentials = password
        .map(|(username, password_file)| Credentials::Password { username: username.value, password_file })
        .or_else(|| path(table, "digest_file").map(|digest_file| Credentials::Digest { digest_file }));
    (problems.len() == before).then(|| StoreSpec {
        name: name.clone(),
        url,
        credentials,
        tls: secure.then(|| files.unwrap_or_default()),
        session_timeout: session_timeout.map_or(SESSION_TIMEOUT, |at| at.value),
        tree_limits: tree_limits(table),
    })
}

fn tree_limits(table: &RawTable) -> TreeLimits {
    let mut limits = TreeLimits::default();
    if let Some(bytes) = table.number("max_tree_bytes").and_then(|at| u64::try_from(at.value).ok()) {
        limits.bytes = bytes;
    }
    if let Some(entries) = table.number("max_tree_entries").and_then(|at| usize::try_from(at.value).ok()) {
        limits.entries = entries;
    }
    limits
}

/// Refuses one of two fields without the other.
fn together(source: &SourceText, table: &RawTable, problems: &mut Vec<Problem>, one: &str, other: &str) {
    for (one, other) in [(one, other), (other, one)] {
        if table.has(one) && !table.has(other) {
            let problem = source.problem(table.span(one), format!("`{one}` needs `{other}` beside it"));
            problems.push(problem.with_help("set both or neither"));
        }
    }
}

/// Refuses the fields of other kinds of stores.
fn only(source: &SourceText, table: &RawTable, problems: &mut Vec<Problem>, kind: &str, unused: &[&str]) {
    for field in unused.iter().filter(|field| table.holds(field)) {
        let problem = source.problem(table.span(field), format!("{kind} store has no `{field}`"));
        problems.push(problem.with_help("remove it, or check `url`"));
    }
}
