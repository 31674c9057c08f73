//! The control socket: what can be asked of a running daemon, and how that is said.
//!
//! One connection, one request, one answer, each a line of JSON. The socket answers only root and the
//! daemon's own user.

mod client;
mod connection_limit;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::watch::WatchName;

pub use client::ask;
pub use connection_limit::ConnectionLimit;
pub use server::{Asked, Reply, Server, ServerError};

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// All, or one watch.
    Status {
        /// The watch.
        name: Option<String>,
    },
    /// A watch's last runs.
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
    /// Run now.
    Trigger {
        /// The watch.
        name: String,
        /// With the last known state, instead of reading the key first.
        #[serde(default)]
        cached: bool,
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
        /// For so long.
        seconds: Option<f64>,
    },
    /// Go on.
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

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// What was asked for: the value that the request's command shows.
    Done(serde_json::Value),
    /// Why it was not done, and what would help.
    Error(String),
}

/// The longest request, in bytes.
const LONGEST_REQUEST: u64 = 64 << 10;
/// How long a whole exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sentence for a name that no watch has, with the nearest that one has.
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
