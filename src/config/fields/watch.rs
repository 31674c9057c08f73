//! The fields of a `[[watch]]` table.

use super::{Field, Kind, Word, field, required};
use crate::watch::{Choice as _, Format, LogOutput, OnDelete, OnFailure, RunModeName, WatchType};

const RUN_ON_LOAD: &[Word] =
    &[Word::new("changed", "only where the ledger says this state was not applied yet")];

/// The fields of a `[[watch]]` table, in the order of the documentation.
pub const WATCH: &[Field] = &[
    field(
        "name",
        Kind::Name,
        "the file's name without .toml; -2, -3, … behind it from the second watch of the file on",
        r#""git-pull""#,
        "Unique name of the watch. Logs, status and the ledger use it.",
    ),
    field(
        "description",
        Kind::Text,
        "none",
        r#""Follow the main branch""#,
        "Text for people, shown by status.",
    ),
    Field {
        alias: Some("znode"),
        ..required(
            "key",
            Kind::Key,
            r#""/git/head""#,
            "The key to watch. It need not exist yet. ${name} stands for host or a name of [vars].",
        )
        .expanded()
    },
    field(
        "store",
        Kind::Name,
        "default_store of twitcher.conf",
        r#""main""#,
        "The store that holds the key, by its name in twitcher.conf.",
    ),
    field(
        "watch_type",
        Kind::Choice(WatchType::WORDS),
        r#""data""#,
        r#""tree""#,
        "How much of the key is watched.",
    ),
    field(
        "action",
        Kind::Command,
        "none; one of action and script must be given",
        r#"["systemctl", "reload", "nginx"]"#,
        "What is run. A string runs as /bin/sh -c STRING, an array is executed as it is. The state comes on standard input and is never part of the command line.",
    ),
    field(
        "script",
        Kind::Program,
        "none; one of action and script must be given",
        "'''\n#!/bin/sh\ncat > /run/state\n'''",
        "A program written out here, beginning with its #! line. It is run from a private file.",
    ),
    field(
        "pipe_stdin",
        Kind::Flag,
        "true",
        "false",
        "Whether the state is written on the action's standard input. With false it is /dev/null, and the value is not fetched where that saves work.",
    ),
    field(
        "format",
        Kind::Choice(Format::WORDS),
        r#""raw" for data, "lines" for children, "json" for tree"#,
        r#""json""#,
        "How the state is written on standard input.",
    ),
    field(
        "run_on_load",
        Kind::FlagOr(RUN_ON_LOAD),
        "true",
        r#""changed""#,
        "Whether the action is run when the watch is loaded.",
    ),
    field(
        "run_mode",
        Kind::Choice(RunModeName::WORDS),
        r#""queue""#,
        r#""restart""#,
        "What an update does while the action runs.",
    ),
    field(
        "max_parallel",
        Kind::Integer { least: 1, most: 4096 },
        "16",
        "4",
        "For run_mode = \"parallel\": how many runs at once. More than that wait in order.",
    ),
    field(
        "on_delete",
        Kind::Choice(OnDelete::WORDS),
        r#""ignore""#,
        r#""run""#,
        "What the deletion of the key does.",
    ),
    field(
        "uid",
        Kind::Account,
        "the daemon's own",
        r#""www-data""#,
        "User of the action, by name or number. Without gid it also sets that user's primary group. The supplementary groups are always that user's. A number without an account needs gid beside it.",
    ),
    field(
        "gid",
        Kind::Account,
        "the primary group of uid, or the daemon's own",
        r#""adm""#,
        "Group of the action, by name or number. Without uid the user stays the daemon's; the supplementary groups are then those of that user's account, not those that the daemon was started with.",
    ),
    field(
        "cwd",
        Kind::Path,
        r#""/""#,
        r#""/srv/www""#,
        "Working directory, entered as the action's user. ${name} stands for host or a name of [vars].",
    )
    .expanded(),
    field("umask", Kind::Mask, r#""022""#, r#""077""#, "File mode creation mask, octal."),
    field(
        "env",
        Kind::Variables,
        "none",
        r#"{ BRANCH = "main" }"#,
        "Environment variables on top of PATH, HOME, USER, LOGNAME, SHELL, LANG and the TWITCHER_ ones. Nothing of the daemon's own environment is passed on. ${name} in a value stands for host or a name of [vars].",
    )
    .expanded(),
    field(
        "nice",
        Kind::Integer { least: -20, most: 19 },
        "the daemon's own",
        "10",
        "Niceness of the action. Below the daemon's own it needs root.",
    ),
    field(
        "limits",
        Kind::Limits,
        "the daemon's own",
        r#"{ nofile = 1024, core = "unlimited" }"#,
        "Resource limits, soft and hard, by the names of setrlimit(2) in lower case: as, core, cpu, data, fsize, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack.",
    ),
    field(
        "notify_signal",
        Kind::Signal,
        "none",
        r#""HUP""#,
        "For run_mode = \"queue\": sent to the running process when an update arrives.",
    ),
    field(
        "timeout",
        Kind::Duration { zero: false },
        "none",
        r#""30s""#,
        "After this long the action's process group gets SIGTERM.",
    ),
    field(
        "kill_after",
        Kind::Duration { zero: true },
        "5s",
        r#""10s""#,
        "SIGKILL follows SIGTERM after this long, until the process group is empty.",
    ),
    field(
        "settle",
        Kind::Duration { zero: true },
        "0",
        r#""2s""#,
        "An update waits until no other came for this long.",
    ),
    field(
        "settle_max",
        Kind::Duration { zero: true },
        "10 times settle",
        r#""20s""#,
        "The longest that settle may hold an update back in all.",
    ),
    field(
        "splay",
        Kind::Duration { zero: true },
        "0",
        r#""1m""#,
        "A start waits for a time from 0 to this that is the same for this host and watch every time, so that many hosts do not start at once.",
    ),
    field(
        "min_interval",
        Kind::Duration { zero: true },
        "0",
        r#""10s""#,
        "Starts are at least this far apart. Later ones are delayed, never dropped.",
    ),
    field(
        "retries",
        Kind::IntegerOr {
            least: 0,
            most: 1_000_000,
            word: Word::new("unlimited", "until it succeeds or a newer state comes"),
        },
        "3",
        r#""unlimited""#,
        "How often a failed run is repeated: one whose exit code is not in success_codes, that a signal or the time-out ended, or that could not be started. A start that the daemon itself cannot make, for want of descriptors, processes, memory or room on the disk, is none: it is made later. A newer state ends the retries.",
    ),
    field(
        "retry_delay",
        Kind::Duration { zero: true },
        "5s",
        r#""1s""#,
        "Wait before the first retry. It doubles from retry to retry, with jitter.",
    ),
    field(
        "retry_delay_max",
        Kind::Duration { zero: true },
        "5m, or retry_delay if that is longer",
        r#""1m""#,
        "The longest wait before a retry.",
    ),
    field(
        "on_failure",
        Kind::Choice(OnFailure::WORDS),
        r#""keep""#,
        r#""stop""#,
        "What happens after the last retry failed.",
    ),
    field("success_codes", Kind::ExitCodes, "[0]", "[0, 3]", "Exit codes that mean success."),
    field(
        "min_entries",
        Kind::Integer { least: 0, most: 1_000_000_000 },
        "0",
        "1",
        "For watch_type = \"children\" or \"tree\": a state with fewer entries is held, so that an emptied store empties nothing else. A key that does not exist has none. Entries are the names of children; of a tree the leaves, and the inner nodes with a value.",
    ),
    field(
        "max_shrink",
        Kind::Percent,
        "none",
        r#""50%""#,
        "For watch_type = \"children\" or \"tree\": a state that has more than this much fewer entries than the last applied one is held. twitcher release applies a held state.",
    ),
    field(
        "validate",
        Kind::Command,
        "none",
        r#"["jq", "-e", ".upstreams | length > 0"]"#,
        "Judges a state before it is applied: unless it exits 0 the state is held, and twitcher release applies it. Written as action is, and run as the action is: the state on standard input, the same user in the same surroundings. It gets TERM after timeout, or 30 s, and KILL after kill_after. It takes a slot of max_processes, except beside a live run that it may end (GUARD below), and no mutex; it is never retried and is not in the history. A newer state ends it, except with run_mode = \"parallel\". The deletion of a key with watch_type = \"data\" is not judged.",
    ),
    field(
        "verify_interval",
        Kind::Duration { zero: false },
        "5m",
        r#""1m""#,
        "A watch without proof of life from its store for this long is read again and armed again.",
    ),
    field(
        "output",
        Kind::Choice(LogOutput::WORDS),
        r#""log""#,
        r#""null""#,
        "Where the action's standard output and error go.",
    ),
    field(
        "enabled",
        Kind::Flag,
        "true",
        "false",
        "With false the watch is known and shown as disabled, and does nothing.",
    ),
    field(
        "hosts",
        Kind::Hosts,
        "all hosts",
        r#"["web-*", "!web-1"]"#,
        "The hosts that the watch is for: globs (*, ?, [a-z]) on the whole host name, case-sensitive. ! before one excludes; only exclusions mean all others. On other hosts the watch does not exist.",
    ),
    field(
        "mutex",
        Kind::Name,
        "none",
        r#""nginx""#,
        "Of all watches of this machine with the same mutex, at most one run lives at a time. The others wait in order, without a slot of max_processes. A run that outlives the daemon keeps its mutex.",
    ),
    field(
        "on_give_up",
        Kind::Command,
        "none",
        r#"["mail", "-s", "twitcher gave up", "ops"]"#,
        "What is run once for a version when its last retry failed, or a guard holds it back: written as action is, as the same user in the same surroundings, with the end of the run's output on standard input and TWITCHER_OUTCOME and TWITCHER_EXIT_CODE in its environment. It gets TERM after 60 s and KILL after kill_after, it delays no run, and its own failure is only logged.",
    ),
];

/// The fields that `[defaults]` of `twitcher.conf` cannot set, because they describe a single watch.
pub const NOT_DEFAULTS: [&str; 6] = ["name", "description", "key", "action", "script", "hosts"];
