//! The daemon's settings by `twitcher.conf`, with every default applied.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::log::{Destination as LogDestination, LogLevel};
use crate::store::StoreSpec;
use crate::watch::fleet::FleetSettings;
use crate::watch::{Machine, StoreName};

use super::raw::{Defaults, Site};

/// `control_socket` if `twitcher.conf` names none.
pub const CONTROL_SOCKET: &str = "/run/twitcher/control.sock";

/// The settings of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The store of every watch that names none. Always one of `stores`.
    pub default_store: StoreName,
    /// Directory of the ledger.
    pub state_dir: PathBuf,
    /// Socket of the control server.
    pub control_socket: PathBuf,
    /// Where the log goes.
    pub log: LogDestination,
    /// The log level.
    pub log_level: LogLevel,
    /// Actions at once, all watches together; at least 1.
    pub max_processes: u32,
    /// How much of the last runs of each watch is kept on disk, in bytes.
    pub history_bytes: u64,
    /// How long running actions may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub http_listen: Option<SocketAddr>,
    /// Name of this machine, and the values of `[vars]`.
    pub machine: Arc<Machine>,
    /// What this machine is in its fleets.
    pub fleet: FleetSettings,
    /// What `[defaults]` says of every watch.
    pub(super) defaults: Arc<Defaults>,
    /// The stores by name; `local` is always there.
    pub stores: BTreeMap<StoreName, StoreSpec>,
}

impl Settings {
    /// The context in which watch files are parsed.
    pub(super) fn site(&self) -> Site {
        Site { machine: Arc::clone(&self.machine), defaults: Arc::clone(&self.defaults) }
    }
}
