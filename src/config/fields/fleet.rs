//! The fields of `[watch.fleet]` and of `[fleet]` in `twitcher.conf`.

use super::{Field, Kind, Word, field};

const PAGES: &[Word] = &[Word::new("loopback", "only where http_listen is a loopback address")];
const ACLS: &[Word] = &[
    Word::new("open", "everybody"),
    Word::new(
        "creator",
        "only the identity of this machine, by digest_file or its certificate; everybody reads",
    ),
];

/// How a watch takes part in a fleet: `[watch.fleet]`.
pub const FLEET: &[Field] = &[
    field(
        "group",
        Kind::Name,
        "the watch's name",
        r#""git""#,
        "The watches of this group on all hosts roll out together. At most 64 bytes in a key, where every byte but A-Z a-z 0-9 . _ - takes three.",
    ),
    field(
        "max_parallel",
        Kind::Share(Word::new(
            "unlimited",
            "no permits: the watch acts at once and only reports what it has applied",
        )),
        "1",
        r#""10%""#,
        "How many hosts of the group may act at once. A percentage is of the live members, rounded down, at least 1.",
    ),
    field(
        "canary",
        Kind::Globs,
        "[]",
        r#"["web-canary-*"]"#,
        "Hosts that go first, all live ones of them: globs as for hosts. While none is alive, nothing starts.",
    ),
    field(
        "waves",
        Kind::Shares,
        "[]",
        r#"[1, "10%"]"#,
        "Rising numbers of hosts: how many in all may have a version before the next wave opens. The last wave, all hosts, is implied.",
    ),
    field(
        "soak",
        Kind::Duration { zero: true },
        "5m with canary or waves, else 0",
        r#""10m""#,
        "After a wave is complete, no other host starts for this long; failures in that time count for stop_on_failures.",
    ),
    field(
        "hold",
        Kind::Duration { zero: true },
        "0",
        r#""30s""#,
        "A host keeps its permit for this long after success.",
    ),
    field(
        "deadline",
        Kind::Duration { zero: false },
        "10m, or twice timeout and kill_after together if that is longer",
        r#""15m""#,
        "A host that has had its permit for this long without success counts as failed. Longer than timeout and kill_after together.",
    ),
    field(
        "stop_on_failures",
        Kind::Share(Word::new("never", "no failure stops a rollout")),
        "1",
        "3",
        "This many failed or lost hosts stop the rollout of a version. A percentage is of the live members, rounded up, at least 1.",
    ),
];

/// What this machine is in its fleets: `[fleet]` of `twitcher.conf`.
pub const FLEET_SETTINGS: &[Field] = &[
    field(
        "store",
        Kind::Name,
        "the store of each watch",
        r#""main""#,
        "The store that holds the fleet's keys. A watch on a dir store takes part in a fleet of several hosts only with this.",
    ),
    field(
        "prefix",
        Kind::Key,
        r#""/twitcher/fleet""#,
        r#""/twitcher/fleet""#,
        "The fleet's keys are below this key, one directory a group.",
    ),
    field(
        "ttl",
        Kind::Duration { zero: false },
        "30s",
        r#""1m""#,
        "A host that the store has not heard from for this long is silent; from 10 s to 10 m. A ZooKeeper server may choose another time, by default 40 s at most.",
    ),
    field(
        "conduct",
        Kind::Flag,
        "true",
        "false",
        "Whether this machine may become the conductor of a group.",
    ),
    field(
        "page",
        Kind::FlagOr(PAGES),
        r#""loopback""#,
        "false",
        "Whether /fleet is served on http_listen. Anybody who reaches the port sees it.",
    ),
    field(
        "acl",
        Kind::Choice(ACLS),
        r#""open""#,
        r#""creator""#,
        "Who may write the nodes that this machine makes in ZooKeeper.",
    ),
];
