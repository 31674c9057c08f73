//! Converts the arguments of `twitcher watch` to definitions of watches. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Args, ModeName};
use crate::log::escape;
use crate::watch::{
    Account, Action, Format, Key, Machine, Output, PolicySpec, RunMode, RunOnLoad, StoreName, Surroundings,
    Target, VERIFY_INTERVAL, WatchName, WatchSpec, WatchType,
};

/// What a run inherits from the caller.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) cwd: PathBuf,
    pub(super) account: Account,
    pub(super) umask: u32,
    /// The current directory.
    pub(super) machine: Arc<Machine>,
    /// The store as it was typed.
    pub(super) store: String,
    /// Where that is.
    pub(super) url: String,
}

/// One watch for each key.
pub(super) fn lower(args: &Args, store: &StoreName, caller: &Caller) -> Result<Vec<WatchSpec>, String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = args.keys.iter().find(|key| !seen.insert(*key)) {
        return Err(format!("`{twice}` is named twice; each key is one watch"));
    }
    if args.tty {
        if args.keys.len() > 1 {
            return Err("--tty: only one run at a time can have the terminal; name one key".to_owned());
        }
        if args.run_mode == Some(ModeName::Parallel) {
            return Err("--tty: only one run at a time can have the terminal; leave out --run-mode parallel"
                .to_owned());
        }
    }
    let watches = (1..).zip(&args.keys).map(|(number, key)| watch(args, store, caller, number, key));
    watches.collect()
}

fn watch(
    args: &Args,
    store: &StoreName,
    caller: &Caller,
    number: u32,
    key: &Key,
) -> Result<WatchSpec, String> {
    // A key may contain characters that are not allowed in names; the generated names cannot equal a key.
    let name = WatchName::new(key.as_str())
        .or_else(|_| WatchName::new(&format!("watch-{number}")))
        .map_err(|error| error.to_string())?;
    let watch_type = match (args.tree, args.children) {
        (true, _) => WatchType::Tree,
        (false, true) => WatchType::Children,
        (false, false) => WatchType::Data,
    };
    Ok(WatchSpec {
        name,
        description: described(key, watch_type, &caller.url),
        enabled: true,
        target: Target { store: store.clone(), key: key.clone(), watch_type },
        action: Action::Program(args.command.clone()),
        surroundings: Arc::new(Surroundings {
            account: caller.account.clone(),
            cwd: caller.cwd.clone(),
            umask: caller.umask,
            inherit_env: true,
            env: BTreeMap::from([("TWITCHER_STORE".to_owned(), caller.store.clone())]),
            nice: None,
            limits: BTreeMap::new(),
        }),
        pipe_stdin: !args.tty,
        format: args.format.map_or(Format::default_for(watch_type), Format::from),
        output: if args.tty { Output::Terminal } else { Output::Inherit },
        verify_interval: VERIFY_INTERVAL,
        splay: Duration::ZERO,
        mutex: None,
        fleet: None,
        validate: None,
        on_give_up: None,
        machine: Arc::clone(&caller.machine),
        policy: Arc::new(policy(args)),
    })
}

/// What is watched, for people.
fn described(key: &Key, watch_type: WatchType, url: &str) -> String {
    let key = escape::line(key.as_str().as_bytes());
    match watch_type {
        WatchType::Data => format!("{key} in {url}"),
        WatchType::Children => format!("the names below {key} in {url}"),
        WatchType::Tree => format!("{key} and below in {url}"),
    }
}

fn policy(args: &Args) -> PolicySpec {
    let settle = if args.no_settle { Duration::ZERO } else { args.settle };
    PolicySpec {
        run_on_load: if args.since.is_given() { RunOnLoad::Never } else { RunOnLoad::Always },
        run_mode: match args.run_mode {
            // Every update, one after the other.
            None if args.no_settle => RunMode::Parallel { max: 1 },
            None | Some(ModeName::Queue) => RunMode::Queue,
            Some(ModeName::Discard) => RunMode::Discard,
            // One run and its retries.
            Some(ModeName::Parallel) if args.once => RunMode::Parallel { max: 1 },
            Some(ModeName::Parallel) => RunMode::Parallel { max: RunMode::MAX_PARALLEL },
            Some(ModeName::Restart) => RunMode::Restart,
        },
        on_delete: args.on_delete.into(),
        timeout: args.timeout,
        settle,
        settle_max: args.settle_max.unwrap_or(PolicySpec::settle_max_of(settle)),
        // By default somebody looks on: a failure is shown, and the next change is the next try.
        retries: args.retries,
        retry_delay: args.retry_delay,
        retry_delay_max: PolicySpec::retry_delay_max_of(args.retry_delay),
        ..PolicySpec::default()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::watch::{OnDelete, Retries};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn lowered(line: &str) -> Result<Vec<WatchSpec>, String> {
        let words = std::iter::once("watch").chain(line.split(' '));
        let args = Line::try_parse_from(words).map_err(|error| error.to_string())?.args;
        let account = Account {
            uid: 7,
            gid: 7,
            groups: None,
            user: "me".into(),
            home: "/home/me".into(),
            shell: "/bin/sh".into(),
        };
        let caller = Caller {
            cwd: "/here".into(),
            account,
            umask: 0o027,
            machine: Arc::default(),
            store: "etcd://a,b".into(),
            url: "etcd://a:2379,b:2379".into(),
        };
        lower(&args, &StoreName::new("command-line").unwrap(), &caller)
    }

    fn one(line: &str) -> WatchSpec {
        let mut watches = lowered(line).unwrap();
        assert_eq!(watches.len(), 1);
        watches.remove(0)
    }

    #[test]
    fn missing_options_have_the_documented_defaults() {
        let watch = one("/git/head -- cat -n");
        assert_eq!(watch.name.as_str(), "/git/head");
        assert_eq!(watch.target.watch_type, WatchType::Data);
        assert_eq!(watch.action, Action::Program(vec!["cat".into(), "-n".into()]));
        assert_eq!((watch.format, watch.output), (Format::Raw, Output::Inherit));
        assert_eq!(watch.surroundings.cwd, PathBuf::from("/here"));
        assert_eq!((watch.surroundings.umask, watch.surroundings.inherit_env), (0o027, true));
        assert_eq!(watch.surroundings.env["TWITCHER_STORE"], "etcd://a,b");
        assert_eq!(watch.policy.settle, Duration::from_secs(1));
        assert_eq!(watch.policy.settle_max, Duration::from_secs(10));
        assert_eq!(watch.policy.run_mode, RunMode::Queue);
        assert_eq!((watch.policy.timeout, watch.policy.kill_after), (None, Duration::from_secs(5)));
        assert_eq!(watch.policy.retries, Retries::AtMost(0));
        assert_eq!(watch.policy.run_on_load, RunOnLoad::Always);
        assert_eq!(watch.policy.on_delete, OnDelete::Ignore);
    }

    #[test]
    fn options_have_their_documented_meaning() {
        let watch = one("/a --tree --settle 200ms --run-mode restart --timeout 3s --format yaml -- x");
        assert_eq!((watch.target.watch_type, watch.format), (WatchType::Tree, Format::Yaml));
        assert_eq!(watch.policy.settle_max, Duration::from_secs(2));
        assert_eq!(watch.policy.run_mode, RunMode::Restart);
        assert_eq!(watch.policy.timeout, Some(Duration::from_secs(3)));
        assert_eq!(one("/a --tree -- x").format, Format::Json);
        assert_eq!(one("/a --children -- x").format, Format::Lines);
        assert_eq!(one("/a --settle 2s --settle-max 5s -- x").policy.settle_max, Duration::from_secs(5));
        let watch = one("/a --no-settle --run-mode parallel -- x");
        assert_eq!((watch.policy.settle, watch.policy.settle_max), (Duration::ZERO, Duration::ZERO));
        assert_eq!(watch.policy.run_mode, RunMode::Parallel { max: 16 });
        assert_eq!(one("/a --no-settle -- x").policy.run_mode, RunMode::Parallel { max: 1 });
        assert_eq!(one("/a --no-settle --run-mode queue -- x").policy.run_mode, RunMode::Queue);
        assert_eq!(one("/a --on-delete run -- x").policy.on_delete, OnDelete::Run);
        for since in ["--from 17", "--from -3", "--after 17"] {
            assert_eq!(one(&format!("/a {since} -- x")).policy.run_on_load, RunOnLoad::Never);
        }
        let policy = one("/a --retries 4 --retry-delay 200ms -- x").policy;
        assert_eq!((policy.retries, policy.retry_delay), (Retries::AtMost(4), Duration::from_millis(200)));
        assert_eq!(one("/a --retries unlimited -- x").policy.retries, Retries::Unlimited);
        let watch = one("/a --tty -- x");
        assert_eq!((watch.output, watch.pipe_stdin), (Output::Terminal, false));
        assert_eq!(one("/a -- x").description, "/a in etcd://a:2379,b:2379");
        assert_eq!(one("/a --tree -- x").description, "/a and below in etcd://a:2379,b:2379");
        assert_eq!(one("/a --children -- x").description, "the names below /a in etcd://a:2379,b:2379");
    }

    #[test]
    fn several_keys_become_several_watches() {
        let watches = lowered("/a /b=c /d -- x").unwrap();
        let names: Vec<&str> = watches.iter().map(|watch| watch.name.as_str()).collect();
        assert_eq!(names, ["/a", "watch-2", "/d"]);
        assert!(lowered("/a /b /a -- x").unwrap_err().contains("`/a` is named twice"));
    }

    #[test]
    fn contradictory_options_are_refused() {
        for line in [
            "/a",
            "-- x",
            "/a --tree --children -- x",
            "/a --no-settle --settle 1s -- x",
            "/a --from x -- x",
            "/a --after -3 -- x",
            "/a --from 3 --after 3 -- x",
            "/a --retries x -- x",
            "/a --tty --format json -- x",
            "/a /b --tty -- x",
            "/a --tty --run-mode parallel -- x",
            "/a --run-mode often -- x",
            "/a --format xml -- x",
            "/a --settle 1y -- x",
        ] {
            assert!(lowered(line).is_err(), "{line}");
        }
    }
}
