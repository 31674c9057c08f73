//! The loader: reads the configuration directory and reports what changed.
//!
//! It remembers the definitions that are in effect. A file with an error changes none of them (promise P7): its last
//! valid definitions stay in effect until it is corrected or removed. The daemon decides when to reload; `check` runs
//! the same code.
//!
//! Whatever may block is done on threads of their own: a file system or a name service that does not answer costs the
//! files that depend on it, and a bounded delay.

mod actions;
mod admit;
mod check;
mod loader;
mod look_up;
mod merge;
mod read;
mod report;
mod server_names;
mod settings;
mod store_files;
mod watch_files;

pub use loader::Loader;
pub(crate) use loader::hostname;
pub use report::{FileReport, LoadState, LoadedWatch, LoadedWatches, Reload};

#[cfg(test)]
mod tests;
