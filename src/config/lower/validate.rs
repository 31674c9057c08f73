//! `validate` of a `[[watch]]` table: the program, and which states it judges.

use crate::config::raw::RawTable;
use crate::watch::{Action, Validate, WatchType};

pub(super) fn program(table: &RawTable) -> Option<Box<Action>> {
    table.action("validate").map(|at| Box::new(at.value))
}

/// The absence of a key is not judged as `data`, because there is no value; as `children` or `tree` it is an empty state.
pub(super) fn judges(table: &RawTable, watch_type: WatchType) -> Validate {
    if !table.has("validate") {
        return Validate::Nothing;
    }
    match watch_type {
        WatchType::Data => Validate::Values,
        WatchType::Children | WatchType::Tree => Validate::Everything,
    }
}
