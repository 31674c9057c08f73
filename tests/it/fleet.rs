//! Several daemons of one group on real stores.
//!
//! The action is the witness: it writes its start and its end, with the host, the version and the time, under a lock.

mod chaos;
mod crowd;
mod failures;
mod hosts;
mod limits;
mod load;
mod orders;
mod restored;
mod roles;
mod seen;
mod settings;
mod waves;
