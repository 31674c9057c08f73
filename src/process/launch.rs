//! The launch plan: a run as plain data, with every name resolved and every byte prepared.
//!
//! Contains no files, pipes or processes.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::SpawnError;
use crate::status::Preview;
use crate::watch::{Account, Action, Limit, Output, Reason, RunId, Version, WatchName, WatchSpec};

/// `PATH` of an action whose watch sets none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The details of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDetails {
    /// Its id.
    pub run: RunId,
    /// Its reason.
    pub reason: Reason,
    /// Version of its state.
    pub version: Version,
    /// 1, 2, …
    pub attempt: u32,
    /// How many updates it stands for.
    pub coalesced: u64,
    /// The store's revision of the permit of its fleet's group.
    pub permit: Option<i64>,
}

/// Everything needed to start one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub(super) programs: Vec<CString>,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) account: Account,
    pub(super) cwd: CString,
    pub(super) umask: u32,
    pub(super) nice: Option<i32>,
    pub(super) limits: Vec<(Limit, Option<u64>)>,
    pub(super) input: Option<Bytes>,
    pub(super) output: Output,
    /// The run's `timeout`, which counts from its clone.
    pub(super) timeout: Option<Duration>,
}

impl Launch {
    /// Plans a run of a watch's action.
    ///
    /// `input` is what it reads on standard input; `None` is `/dev/null`. `script` is the file of an
    /// [`Action::Script`] (see [`Scripts`](super::Scripts)). Fails where a string has a NUL, which no
    /// system call can carry.
    pub fn new(
        spec: &WatchSpec,
        details: &RunDetails,
        input: Option<Bytes>,
        script: Option<&Path>,
    ) -> Result<Self, SpawnError> {
        let lang = std::env::var_os("LANG").filter(|lang| !lang.is_empty());
        let inherited = spec.surroundings.inherit_env.then(std::env::vars_os);
        let env = environment(spec, details, lang, inherited.into_iter().flatten());
        let argv: Vec<OsString> = match (&spec.action, script) {
            (Action::Shell(command), _) => vec!["/bin/sh".into(), "-c".into(), command.into()],
            (Action::Program(words), _) => words.clone(),
            (Action::Script(_), Some(file)) => vec![file.into()],
            (Action::Script(_), None) => {
                return Err(SpawnError::before("run the script", "it has not been written to its file"));
            }
        };
        let Some(program) = argv.first().filter(|program| !program.is_empty()) else {
            return Err(SpawnError::before("run the action", "it names no program"));
        };
        let path = env.get("PATH").map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str);
        let programs = candidates(program, path)
            .iter()
            .map(|program| c_string("the program's name", program))
            .collect::<Result<_, _>>()?;
        let surroundings = &spec.surroundings;
        Ok(Self {
            programs,
            argv: argv.iter().map(|word| c_string("an argument", word)).collect::<Result<_, _>>()?,
            env: env.iter().map(|(name, value)| assignment(name, value)).collect::<Result<_, _>>()?,
            account: surroundings.account.clone(),
            cwd: c_string("the directory", surroundings.cwd.as_os_str())?,
            umask: surroundings.umask,
            nice: surroundings.nice,
            limits: surroundings.limits.iter().map(|(limit, value)| (*limit, *value)).collect(),
            input,
            output: spec.output,
            timeout: spec.policy.timeout,
        })
    }

    /// The plan for people.
    pub fn preview(&self, watch: &WatchName) -> Preview {
        let texts = |list: &[CString]| list.iter().map(|text| text.to_string_lossy().into_owned()).collect();
        let limit = |(limit, value): &(Limit, Option<u64>)| match value {
            Some(value) => format!("{} = {value}", limit.word()),
            None => format!("{} = \"unlimited\"", limit.word()),
        };
        Preview {
            watch: watch.to_string(),
            refused: None,
            verified_seconds: None,
            user: format!("{} ({})", self.account.user, self.account.uid),
            group: self.account.gid,
            groups: self.account.groups.clone(),
            directory: self.cwd.to_string_lossy().into_owned(),
            umask: self.umask,
            nice: self.nice,
            limits: self.limits.iter().map(limit).collect(),
            environment: texts(&self.env),
            arguments: texts(&self.argv),
            validate: Vec::new(),
            input: self.input.as_ref().map(|input| STANDARD.encode(input)),
        }
    }

    /// The program for people.
    pub(super) fn shown(&self) -> String {
        self.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// The environment of a run, built from nothing or from what is inherited. The watch's own variables may replace the
/// account's; nothing may replace the variables that identify the run.
fn environment(
    spec: &WatchSpec,
    details: &RunDetails,
    lang: Option<OsString>,
    inherited: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<String, OsString> {
    let account = &spec.surroundings.account;
    let mut env: BTreeMap<String, OsString> = BTreeMap::from([
        ("PATH".into(), DEFAULT_PATH.into()),
        ("HOME".into(), account.home.clone().into()),
        ("USER".into(), account.user.clone().into()),
        ("LOGNAME".into(), account.user.clone().into()),
        ("SHELL".into(), account.shell.clone().into()),
        ("LANG".into(), lang.unwrap_or_else(|| "C.UTF-8".into())),
    ]);
    // A shell could not use a name that is not UTF-8.
    env.extend(inherited.filter_map(|(name, value)| Some((name.into_string().ok()?, value))));
    let named = spec.surroundings.env.get("TWITCHER_STORE").filter(|_| spec.surroundings.inherit_env);
    let store = named.cloned().unwrap_or_else(|| spec.target.store.to_string());
    env.extend(spec.surroundings.env.iter().map(|(name, value)| (name.clone(), value.into())));
    let own = [
        ("TWITCHER_WATCH", spec.name.to_string()),
        ("TWITCHER_STORE", store),
        ("TWITCHER_KEY", spec.target.key.to_string()),
        ("TWITCHER_REASON", details.reason.word().to_owned()),
        ("TWITCHER_VERSION", details.version.to_string()),
        ("TWITCHER_ATTEMPT", details.attempt.to_string()),
        ("TWITCHER_COALESCED", details.coalesced.to_string()),
        ("TWITCHER_RUN", details.run.to_string()),
    ];
    if let Some(permit) = details.permit {
        env.insert("TWITCHER_PERMIT".to_owned(), permit.to_string().into());
    }
    let machine = &spec.machine;
    env.extend(machine.environment().map(|(name, value)| (name, value.into())));
    env.extend(own.map(|(name, value)| (name.to_owned(), value.into())));
    env
}

/// The files that a program's name may mean, in the order of PATH. They are tried in the child, as the
/// action's user, because the daemon can see files that the user cannot.
pub(super) fn candidates(program: &OsStr, path: &OsStr) -> Vec<OsString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| {
            // An empty part of PATH is the current directory, as in execvp(3).
            let directory = if directory.is_empty() { b".".as_slice() } else { directory };
            Path::new(OsStr::from_bytes(directory)).join(program).into_os_string()
        })
        .collect()
}

fn c_string(what: &str, text: &OsStr) -> Result<CString, SpawnError> {
    CString::new(text.as_bytes())
        .map_err(|_| SpawnError::before(format!("use {what}"), "it has a NUL character"))
}

fn assignment(name: &str, value: &OsStr) -> Result<CString, SpawnError> {
    if name.is_empty() || name.contains('=') {
        let what = format!("set the variable `{}`", name.escape_debug());
        return Err(SpawnError::before(what, "a name must not be empty or contain `=`"));
    }
    let mut text = name.as_bytes().to_vec();
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    c_string(&format!("the variable `{}`", name.escape_debug()), OsStr::from_bytes(&text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{details, spec};
    use super::*;
    use crate::watch::Machine;

    fn strings(list: &[CString]) -> Vec<String> {
        list.iter().map(|text| text.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_name_without_slash_is_looked_up_in_the_path_of_the_action() {
        let mut spec = spec(Action::Program(vec!["tool".into(), "-x".into()]));
        Arc::make_mut(&mut spec.surroundings).env.insert("PATH".into(), "/a::/b".into());
        let launch = Launch::new(&spec, &details(), None, None).unwrap();
        assert_eq!(strings(&launch.programs), ["/a/tool", "./tool", "/b/tool"]);
        assert_eq!(strings(&launch.argv), ["tool", "-x"]);
        let spec = super::super::tests::spec(Action::Program(vec!["./tool".into()]));
        let launch = Launch::new(&spec, &details(), None, None).unwrap();
        assert_eq!(strings(&launch.programs), ["./tool"]);
    }

    #[test]
    fn the_environment_has_the_documented_variables_and_no_others() {
        let mut spec = spec(Action::Shell("true".into()));
        Arc::make_mut(&mut spec.surroundings).env.insert("HOME".into(), "/elsewhere".into());
        Arc::make_mut(&mut spec.surroundings).env.insert("TWITCHER_RUN".into(), "forged".into());
        spec.machine = Arc::new(Machine {
            host: "web-17".to_owned(),
            vars: [("db-host".to_owned(), "db 1".to_owned())].into(),
        });
        let env = environment(&spec, &details(), None, std::iter::empty());
        let shown: Vec<String> =
            env.iter().map(|(name, value)| format!("{name}={}", value.to_string_lossy())).collect();
        assert_eq!(
            shown,
            [
                "HOME=/elsewhere",
                "LANG=C.UTF-8",
                "LOGNAME=root",
                format!("PATH={DEFAULT_PATH}").as_str(),
                "SHELL=/bin/sh",
                "TWITCHER_ATTEMPT=2",
                "TWITCHER_COALESCED=3",
                "TWITCHER_HOST=web-17",
                "TWITCHER_KEY=/git/head",
                "TWITCHER_REASON=retry",
                "TWITCHER_RUN=ledger-1-1",
                "TWITCHER_STORE=main",
                "TWITCHER_VAR_DB_HOST=db 1",
                "TWITCHER_VERSION=1042",
                "TWITCHER_WATCH=git",
                "USER=root",
            ]
        );
    }

    #[test]
    fn an_inherited_environment_cannot_replace_the_variables_of_the_run() {
        let mut spec = spec(Action::Shell("true".into()));
        Arc::make_mut(&mut spec.surroundings).inherit_env = true;
        Arc::make_mut(&mut spec.surroundings).env.insert("TWITCHER_STORE".into(), "etcd://one,two".into());
        let inherited =
            [("HOME", "/home/me"), ("EDITOR", "ed"), ("TWITCHER_RUN", "outer"), ("PATH", "/mine")];
        let inherited = inherited.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let env = environment(&spec, &details(), None, inherited.into_iter());
        let shown = |name: &str| env.get(name).and_then(|value| value.to_str());
        assert_eq!(shown("HOME"), Some("/home/me"));
        assert_eq!(shown("EDITOR"), Some("ed"));
        assert_eq!(shown("PATH"), Some("/mine"));
        assert_eq!(shown("USER"), Some("root"));
        assert_eq!(shown("TWITCHER_RUN"), Some("ledger-1-1"));
        assert_eq!(shown("TWITCHER_STORE"), Some("etcd://one,two"));
    }

    #[test]
    fn strings_that_no_system_call_accepts_are_errors() {
        for action in [
            Action::Shell("a\0b".into()),
            Action::Program(vec!["a\0".into()]),
            Action::Program(vec!["".into()]),
            Action::Program(vec![]),
            Action::Script("#!/bin/sh".into()),
        ] {
            let spec = spec(action.clone());
            assert!(Launch::new(&spec, &details(), None, None).is_err(), "{action:?}");
        }
        let mut spec = spec(Action::Shell("true".into()));
        Arc::make_mut(&mut spec.surroundings).env.insert("A=B".into(), String::new());
        let error = Launch::new(&spec, &details(), None, None).unwrap_err();
        assert_eq!(error.to_string(), "set the variable `A=B`: a name must not be empty or contain `=`");
    }
}
