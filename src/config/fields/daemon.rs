//! The fields of `twitcher.conf`: the daemon's own, and those of `[store.NAME]` and `[store.NAME.tls]`.

use super::{Field, Kind, Word, field, required};

const LOGS: &[Word] = &[
    Word::new("auto", "journald under systemd, else syslog, else standard error"),
    Word::new("syslog", "/dev/log, facility daemon"),
    Word::new("journald", "the journal, with fields"),
    Word::new("stderr", "standard error"),
    Word::new("json", "standard error, one JSON object a line"),
];
const LEVELS: &[Word] = &[
    Word::new("error", "what needs attention"),
    Word::new("warn", "what may need attention"),
    Word::new("info", "what was done"),
    Word::new("debug", "why it was done"),
    Word::new("trace", "everything"),
];

const HOST: Field = field(
    "host",
    Kind::Line,
    "the machine's host name",
    r#""web-17""#,
    "Name of this machine: in reports, for splay and hosts, and as ${host} in watch files.",
);

/// The settings of `local.conf`, beside `[vars]`.
pub const LOCAL: &[Field] = &[HOST];

/// The daemon's settings, at the top of `twitcher.conf`.
pub const DAEMON: &[Field] = &[
    field(
        "default_store",
        Kind::Name,
        r#""local""#,
        r#""main""#,
        "The store of every watch that names none.",
    ),
    field(
        "state_dir",
        Kind::Path,
        r#""/var/lib/twitcher""#,
        r#""/var/lib/twitcher""#,
        "Directory of the ledger, and of keys/ for the store `local`. The daemon creates it if it is missing.",
    ),
    field(
        "control_socket",
        Kind::Path,
        r#""/run/twitcher/control.sock""#,
        r#""/run/twitcher/control.sock""#,
        "Socket that the commands talk to the daemon through.",
    ),
    field(
        "log",
        Kind::Log(LOGS),
        r#""auto""#,
        r#""journald""#,
        "Where the log goes. A URL sends it to a log server in the format of RFC 5424, with the watch, run, outcome and so on as structured data (twitcher@32473): syslog://HOST:PORT by UDP, which may lose messages while the server is away and cuts them at 8 KiB; syslog+tcp://HOST:PORT by TCP, with octet counting (RFC 6587). Messages wait for a server that is away; what exceeds 1 MiB is counted and reported when it is back.",
    ),
    field("log_level", Kind::Choice(LEVELS), r#""info""#, r#""debug""#, "How much is logged."),
    field(
        "max_processes",
        Kind::Integer { least: 1, most: 100_000 },
        "256",
        "64",
        "How many actions of all watches may run at once. The rest wait; watches with fewer running actions go first. \
         One watch uses at most half, all watches of one account three quarters.",
    ),
    field(
        "history_bytes",
        Kind::Integer { least: 16_384, most: 67_108_864 },
        "262144",
        "1048576",
        "Bytes that the last runs of each watch may take on disk, with at most 64 KiB of output for each run.",
    ),
    field(
        "shutdown_grace",
        Kind::Duration { zero: true },
        r#""20s""#,
        r#""1m""#,
        "On SIGTERM, running actions have this long to finish; then they are ended.",
    ),
    field(
        "http_listen",
        Kind::Address,
        "none: nothing listens",
        r#""127.0.0.1:9464""#,
        "Address to serve /metrics, /healthz and /readyz on.",
    ),
    HOST,
];

/// A store: `[store.NAME]`.
pub const STORE: &[Field] = &[
    required(
        "url",
        Kind::Url,
        r#""etcd://etcd1:2379,etcd2:2379/prod""#,
        "Where the store is: etcd://, etcd+tls://, zookeeper://, zookeeper+tls:// with hosts and a path that is put before every key, or dir:// with an absolute path. ZooKeeper has to be 3.6 or newer.",
    ),
    field("username", Kind::Line, "none", r#""twitcher""#, "User of an etcd store. It needs password_file."),
    field(
        "password_file",
        Kind::Path,
        "none",
        r#""/etc/twitcher/etcd.password""#,
        "File with the password of an etcd store. It is read at each login.",
    ),
    field(
        "digest_file",
        Kind::Path,
        "none",
        r#""/etc/twitcher/zk.digest""#,
        "File with user:password for the digest authentication of a ZooKeeper store.",
    ),
    field(
        "session_timeout",
        Kind::Duration { zero: false },
        r#""10s""#,
        r#""30s""#,
        "Session time-out to request from a ZooKeeper server, from 1 s to 10 m. The server may choose another.",
    ),
    field(
        "max_tree_bytes",
        Kind::Integer { least: 1, most: 1 << 40 },
        "268435456",
        "1073741824",
        "Maximum size of a tree: the bytes of all its values. A watch of a larger tree runs nothing, and status says so. A sparse file counts with its full size.",
    ),
    field(
        "max_tree_entries",
        Kind::Integer { least: 1, most: 1_000_000_000 },
        "1000000",
        "100000",
        "Maximum number of entries of a tree: keys, nodes, files and directories. A watch of a larger tree runs nothing, and status says so.",
    ),
];

/// Certificates of a store: `[store.NAME.tls]`. The table by itself turns TLS on.
pub const TLS: &[Field] = &[
    field(
        "ca",
        Kind::Path,
        "the system's authorities",
        r#""/etc/ssl/etcd/ca.pem""#,
        "PEM file of the authorities that the server's certificate must come from. A change of this file, cert or key takes effect within seconds, without a restart, a reload or a disconnect.",
    ),
    field(
        "cert",
        Kind::Path,
        "none",
        r#""/etc/ssl/etcd/client.pem""#,
        "PEM file of our own certificate. It needs key.",
    ),
    field(
        "key",
        Kind::Path,
        "none",
        r#""/etc/ssl/etcd/client.key""#,
        "PEM file of our certificate's private key.",
    ),
    field(
        "server_name",
        Kind::Line,
        "the host of the URL",
        r#""etcd.example""#,
        "Name to expect in the server's certificate.",
    ),
];
