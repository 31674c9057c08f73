//! The state of lowering one `[[watch]]` table: its problems and notes, and why it is not loaded.

use std::ops::Range;
use std::time::Duration;

use crate::config::problem::{Problem, SourceText};
use crate::config::raw::RawTable;

pub(super) struct Lowering<'a> {
    pub(super) source: &'a SourceText,
    pub(super) table: &'a RawTable,
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) notes: &'a mut Vec<String>,
    /// The syntax is broken: a field that seems to be missing may only be unparsed.
    pub(super) incomplete: bool,
    /// The setting that the watch depends on and that is not known, so that it is not loaded although it has no error.
    pub(super) withheld: Option<String>,
}

impl Lowering<'_> {
    pub(super) fn wrong(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.source.problem(span, message).with_help(help));
    }

    pub(super) fn warn(&mut self, field: &str, message: &str, help: &str) {
        let problem = self.source.problem(self.table.span(field), message).with_help(help).into_warning();
        self.problems.push(problem);
    }

    /// Records a setting that the watch depends on and that is not known. The first one is reported.
    pub(super) fn withhold(&mut self, why: impl Into<String>) {
        self.withheld.get_or_insert_with(|| why.into());
    }

    pub(super) fn duration(&self, field: &str, default: Duration) -> Duration {
        self.table.duration(field).map_or(default, |at| at.value)
    }
}
