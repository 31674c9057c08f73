//! `validate` of a `[[watch]]` table: the program, and what it is given.

use crate::config::raw::RawTable;
use crate::watch::{Action, Validate, WatchType};

pub(super) fn program(table: &RawTable) -> Option<Box<Action>> {
    table.action("validate").map(|at| Box::new(at.value))
}

/// A key that does not exist has no value to be judged, but no children and an empty tree are states.
pub(super) fn judges(table: &RawTable, watch_type: WatchType) -> Validate {
    if !table.has("validate") {
        return Validate::Nothing;
    }
    match watch_type {
        WatchType::Data => Validate::Values,
        WatchType::Children | WatchType::Tree => Validate::Everything,
    }
}
