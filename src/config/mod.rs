//! Configuration: everything from TOML files to meaning.
//!
//! `raw` parses a file into typed values by the table of [`fields`]; `lower` gives them their meaning
//! ([`WatchSpec`](crate::watch::WatchSpec), [`Settings`]); [`load`] decides what takes effect; `diff` compares it with
//! what was in effect. All of it is pure except [`load`], `files`, `trust`, [`accounts`] and `directory_watch`. The
//! daemon acts on changes.

pub mod accounts;
mod diff;
mod directory_watch;
pub(crate) mod duration;
pub mod fields;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod load;
mod lower;
mod problem;
mod raw;
mod secret;
mod settings;
mod stall;
pub(crate) mod template;
#[cfg(feature = "convert")]
mod text;
mod trust;

pub use diff::{Diff, Watches};
pub use directory_watch::{DirectoryWatch, Hint};

pub(crate) use load::hostname;
pub use load::{FileReport, LoadState, LoadedWatch, LoadedWatches, Loader, Reload};
pub use problem::{Excerpt, Position, Problem, Severity};
pub use settings::{CONTROL_SOCKET, LogDestination, LogLevel, Settings};
#[cfg(feature = "convert")]
pub use text::mistakes;
pub use trust::Trust;
