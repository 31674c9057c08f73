//! A store's address and credentials: the meaning of a store URL and of `[store.NAME]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::StoreError;
use crate::watch::StoreName;

/// A store as configured; equal specs need no reconnect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreSpec {
    /// Its name.
    pub name: StoreName,
    /// Its URL.
    pub url: StoreUrl,
    /// The user, if any.
    pub credentials: Option<Credentials>,
    /// Certificates, if the URL says `+tls` (or a `tls` table does).
    pub tls: Option<Tls>,
    /// The requested ZooKeeper session time-out: 1 s to 10 min; other values are clamped.
    pub session_timeout: Duration,
    /// How large a tree of it may be.
    pub tree_limits: TreeLimits,
}

/// The largest tree that is read of a store. A larger one is refused, so that one subtree does not take all memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeLimits {
    /// Bytes of its values. A sparse file counts with its size. Written as `max_tree_bytes`.
    pub bytes: u64,
    /// Its entries: keys, nodes, files and directories. Written as `max_tree_entries`.
    pub entries: usize,
}

impl Default for TreeLimits {
    /// 256 MiB and 1,000,000 entries.
    fn default() -> Self {
        Self { bytes: 256 << 20, entries: 1_000_000 }
    }
}

impl TreeLimits {
    /// Fails where a tree is larger.
    pub(in crate::store) fn admit(self, bytes: u64, entries: usize) -> Result<(), StoreError> {
        let (had, setting) = if entries > self.entries {
            (format!("{} entries", self.entries), "max_tree_entries")
        } else if bytes > self.bytes {
            (format!("{} bytes", self.bytes), "max_tree_bytes")
        } else {
            return Ok(());
        };
        Err(StoreError::Refused {
            what: "read the tree".to_owned(),
            why: format!(
                "it has more than {had}; watch a smaller part of it, or raise `{setting}` of the store in twitcher.conf"
            ),
        })
    }
}

/// The shortest and longest ZooKeeper session time-out. Servers limit it further.
const SESSION_TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(10));

impl StoreSpec {
    /// A store without credentials, with the system's certificate authorities and a session time-out of 10 s.
    /// The fields can be changed before it is opened.
    pub fn new(name: StoreName, url: StoreUrl) -> Self {
        Self {
            name,
            url,
            credentials: None,
            tls: None,
            session_timeout: Duration::from_secs(10),
            tree_limits: TreeLimits::default(),
        }
    }

    /// The same with every duration clamped to its range.
    pub(super) fn clamped(mut self) -> Self {
        let (shortest, longest) = SESSION_TIMEOUT;
        self.session_timeout = self.session_timeout.clamp(shortest, longest);
        self
    }
}

/// A parsed store URL. Displays as it was written; never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `etcd://HOST:PORT,…/PREFIX`.
    Etcd {
        /// `host:port`, at least one.
        endpoints: Vec<String>,
        /// Prepended to every key; empty, or begins with `/` and does not end with one.
        prefix: String,
        /// `etcd+tls://`.
        tls: bool,
    },
    /// `zookeeper://HOST:PORT,…/CHROOT`.
    ZooKeeper {
        /// `host:port`, at least one.
        servers: Vec<String>,
        /// Empty or begins with `/` and does not end with one.
        chroot: String,
        /// `zookeeper+tls://`.
        tls: bool,
    },
    /// `dir:///ABSOLUTE/PATH`.
    Dir {
        /// The directory that is the store's root.
        root: PathBuf,
    },
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secure = |tls: bool| if tls { "+tls" } else { "" };
        match self {
            Self::Etcd { endpoints, prefix, tls } => {
                write!(f, "etcd{}://{}{prefix}", secure(*tls), endpoints.join(","))
            }
            Self::ZooKeeper { servers, chroot, tls } => {
                write!(f, "zookeeper{}://{}{chroot}", secure(*tls), servers.join(","))
            }
            Self::Dir { root } => write!(f, "dir://{}", root.display()),
        }
    }
}

/// How a user authenticates. Secrets stay in files and are read at each login, so that a rotated password needs no
/// reload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// etcd: user name, and a file with the password (a newline at its end does not count).
    Password {
        /// The user.
        username: String,
        /// The file.
        password_file: PathBuf,
    },
    /// ZooKeeper digest: a file with `user:password`.
    Digest {
        /// The file.
        digest_file: PathBuf,
    },
}

/// Certificates, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tls {
    /// Certificate authorities of the server; the system's if absent.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name to expect in the server's certificate instead of the host of the URL.
    pub server_name: Option<String>,
}
