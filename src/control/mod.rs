//! The control socket: requests to a running daemon, its answers, and their encoding.
//!
//! One connection, one request, one answer, each a line of JSON. The socket answers only root and the
//! daemon's own user.

mod client;
mod connection_limit;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::watch::WatchName;

pub use client::ask;
pub use connection_limit::ConnectionLimit;
pub use server::{Asked, Reply, Server, ServerError};

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// All watches, or one.
    Status {
        /// The watch.
        name: Option<String>,
    },
    /// The last runs of a watch.
    History {
        /// The watch.
        name: String,
        /// Only this run, with its whole output.
        #[serde(default)]
        run: Option<String>,
    },
    /// Why a watch does or does not run.
    Explain {
        /// The watch.
        name: String,
    },
    /// Run the action now.
    Trigger {
        /// The watch.
        name: String,
        /// Use the last known state instead of reading the key first.
        #[serde(default)]
        cached: bool,
        /// Start without a permit of the fleet.
        #[serde(default)]
        without_permit: bool,
    },
    /// Tell what [`Request::Trigger`] would run.
    Preview {
        /// The watch.
        name: String,
        /// With the last known state, instead of reading the key first.
        cached: bool,
    },
    /// Start nothing.
    Pause {
        /// The watch.
        name: String,
        /// How long.
        seconds: Option<f64>,
    },
    /// End a pause or a stop.
    Resume {
        /// The watch.
        name: String,
    },
    /// Let a held state through.
    Release {
        /// The watch.
        name: String,
    },
    /// Read all files now.
    Reload,
    /// Read all files now, and tell what [`Request::Reload`] would change.
    Rehearse,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The requested value, which the command shows.
    Done(serde_json::Value),
    /// Why the request failed, and what to do.
    Error(String),
}

/// The longest request, in bytes.
const LONGEST_REQUEST: u64 = 64 << 10;
/// Time limit for a whole exchange.
const PATIENCE: Duration = Duration::from_secs(30);

/// The error for an unknown watch name, with the nearest known name.
pub fn unknown_watch<'a>(name: &str, known: impl Iterator<Item = &'a WatchName>) -> String {
    let nearest = known
        .map(|known| (strsim::damerau_levenshtein(name, known.as_str()), known))
        .min()
        .filter(|(distance, known)| *distance <= known.as_str().len().max(3) / 3);
    match nearest {
        Some((_, known)) => format!("no watch is called `{name}`; did you mean `{known}`?"),
        None => format!("no watch is called `{name}`; `twitcher status` lists them"),
    }
}
