//! etcd (API v3): sessions for the driver, and single requests.
//!
//! Nothing is retried here. One session talks to one member; the driver's attempt counter selects it, because a channel
//! over several members would keep calling a dead one.

mod access;
mod connect;
mod explain;
#[cfg(all(feature = "daemon", any(test, fuzzing)))]
pub(crate) mod fuzz;
mod history;
mod jobs;
mod keys;
mod mirror;
mod newest;
mod paced;
mod read;
mod session;
mod shown;
mod streams;

pub use access::Access;
pub use history::{Begin, Happened, History, Told, state_at};
pub use newest::{Newest, QUIET, newest_changes};
pub use session::session;

/// The largest response that is accepted. etcd's own limit for a value is 1.5 MiB, but a range of many keys is one
/// message, and so are the events that a watch catches up with.
const LARGEST_MESSAGE: usize = 64 << 20;
