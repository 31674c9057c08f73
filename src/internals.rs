//! Hidden access for this project's own program, tests and benches to items that are not public.
//!
//! Not covered by semantic versioning: anything here may change or disappear in any release.

/// The program.
#[cfg(feature = "cli")]
pub mod cli {
    pub use crate::cli::main;

    /// The tree view, which a bench draws.
    pub mod tree {
        pub use crate::cli::tree::{draw, model};
    }
}

/// Groups of machines; the program does not use every part of it yet.
#[cfg(feature = "daemon")]
pub mod fleet {
    pub use crate::daemon::Crowd;
    pub use crate::fleet::*;
}

/// What can be fuzzed.
#[cfg(all(feature = "daemon", any(test, fuzzing)))]
pub mod fuzz;

/// The log.
#[cfg(feature = "daemon")]
pub mod log {
    pub use crate::log::*;
}

/// Processes of actions.
#[cfg(feature = "daemon")]
pub mod process {
    pub use crate::process::*;
}

/// Sessions and single requests of each kind of store.
pub mod store {
    pub use crate::store::*;

    /// Single requests.
    pub mod access {
        pub use crate::store::access::*;
    }
    /// The `dir` store.
    pub mod dir {
        pub use crate::store::dir::*;
    }
    /// The etcd store.
    pub mod etcd {
        pub use crate::store::etcd::*;
    }
    /// The messages between the driver and a session.
    pub mod session {
        pub use crate::store::session::*;
    }
    /// The ZooKeeper store.
    pub mod zookeeper {
        pub use crate::store::zookeeper::*;
    }
    pub use crate::store::access::Access;
    pub use crate::store::files::StoreFiles;
}

/// The whole vocabulary, including that of actions and runs.
pub mod watch {
    pub use crate::watch::target::Target;
    pub use crate::watch::*;
    #[cfg(feature = "daemon")]
    pub use crate::watch::{action::*, machine::*, name::*, outcome::*, run::*, spec::*};
}
