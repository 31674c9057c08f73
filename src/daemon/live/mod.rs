//! One live watch: a task that feeds its machine and performs what the machine decides.
//!
//! The task waits only for its own inputs: states, ended runs, a slot, the clock, and events from the daemon.
//! Nothing that it does can delay another watch.

mod alarm;
mod bulk;
mod control;
mod event;
mod explain;
mod group;
mod handle;
mod held;
mod mailbox;
mod party;
mod perform;
mod read_first;
mod reading;
mod remembered;
mod task;
mod view;

pub(super) use event::{Circumstances, Event, Handover};
pub(super) use explain::ASKS;
pub(super) use handle::{Live, begin};
pub(super) use reading::{JUDGED_WITHIN, READ_WITHIN};
pub(super) use task::{subscribe, subscribed};
pub(super) use view::{HANGS, disabled, unasked};
