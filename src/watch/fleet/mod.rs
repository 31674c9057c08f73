//! How a watch takes part in a fleet: the group that it belongs to and the terms that its file asks for.

pub mod glob;
pub mod name;
mod settings;
pub mod terms;

use std::sync::Arc;

pub use glob::HostGlobs;
pub use name::{GroupName, HostName};
pub use settings::{FleetAcl, FleetPage, FleetSettings};
pub use terms::{MaxParallel, Terms};

/// What `[watch.fleet]` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSpec {
    /// The watches of this name on all hosts roll together.
    pub group: GroupName,
    /// What this host asks for. Shared with the host's record.
    pub terms: Arc<Terms>,
}

impl FleetSpec {
    /// Whether a run needs a permit; otherwise the watch acts at once and only reports.
    pub fn needs_permits(&self) -> bool {
        match self.terms.max_parallel {
            MaxParallel::Share(_) => true,
            MaxParallel::Unlimited => false,
        }
    }
}
