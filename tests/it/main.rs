//! The one integration test binary; each module tests one room or one promise against real servers.

mod actions;
mod logging;
