//! The fields of a `[[watch]]` table.

use super::{Field, Kind, Word, field, required, word};

const WATCH_TYPES: &[Word] = &[
    word("data", "the value of exactly this key"),
    word("children", "the names of what is directly below the key"),
    word("tree", "the key itself and everything below it"),
];
const FORMATS: &[Word] = &[
    word("raw", "a value as it is, byte for byte; children and tree as with lines"),
    word(
        "lines",
        "a value with a newline at its end, one name a line (children), or PATH=VALUE a line (tree)",
    ),
    word("json", "a string (data), an array (children) or nested objects (tree)"),
    word("yaml", "the same shape as YAML"),
    word("toml", "the same shape as TOML, where a value is called value, and children are called children"),
];
const RUN_ON_LOAD: &[Word] = &[word("changed", "only where the ledger says this state was not applied yet")];
const RUN_MODES: &[Word] = &[
    word("queue", "run once more afterwards, with the newest state"),
    word("discard", "nothing: what comes while the action runs is forgotten"),
    word("parallel", "run beside it, once for every update"),
    word("restart", "end it (TERM, then KILL) and start again with the newest state"),
];
const ON_DELETE: &[Word] = &[
    word("ignore", "deletion runs nothing"),
    word("run", "deletion runs the action with empty input and TWITCHER_REASON=delete"),
];
const ON_FAILURE: &[Word] = &[
    word("keep", "the watch goes on with the next state"),
    word("stop", "nothing starts until the definition changes or `twitcher resume`"),
];
const OUTPUTS: &[Word] = &[word("log", "to the log, line by line"), word("null", "nowhere")];

/// The fields of a `[[watch]]` table, in the order in which they are explained.
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
        ..required("key", Kind::Key, r#""/git/head""#, "What is watched. It need not exist yet.")
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
        Kind::Choice(WATCH_TYPES),
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
        Kind::Choice(FORMATS),
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
        Kind::Choice(RUN_MODES),
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
        Kind::Choice(ON_DELETE),
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
    field("cwd", Kind::Path, r#""/""#, r#""/srv/www""#, "Working directory, entered as the action's user."),
    field("umask", Kind::Mask, r#""022""#, r#""077""#, "File mode creation mask, octal."),
    field(
        "env",
        Kind::Variables,
        "none",
        r#"{ BRANCH = "main" }"#,
        "Environment variables on top of PATH, HOME, USER, LOGNAME, SHELL, LANG and the TWITCHER_ ones. Nothing of the daemon's own environment is passed on.",
    ),
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
            word: word("unlimited", "until it succeeds or a newer state comes"),
        },
        "3",
        r#""unlimited""#,
        "How often a failed run is repeated: one whose exit code is not in success_codes, that a signal or the time-out ended, or that could not be started. A newer state ends the retries.",
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
        Kind::Choice(ON_FAILURE),
        r#""keep""#,
        r#""stop""#,
        "What happens after the last retry failed.",
    ),
    field("success_codes", Kind::ExitCodes, "[0]", "[0, 3]", "Exit codes that mean success."),
    field(
        "verify_interval",
        Kind::Duration { zero: false },
        "5m",
        r#""1m""#,
        "A watch without proof of life from its store for this long is read again and armed again.",
    ),
    field(
        "output",
        Kind::Choice(OUTPUTS),
        r#""log""#,
        r#""null""#,
        "Where the action's standard output and error go.",
    ),
];
