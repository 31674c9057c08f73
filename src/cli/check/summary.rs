//! What a check found, counted: the last line, the names of files, and the JSON object. Pure.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::{Value, json};

use crate::cli::Failure;
use crate::config::{FileReport, LoadState, Problem, Severity};
use crate::log::escape;
use crate::status::counted;

/// What a check found.
pub(super) struct Summary<'a> {
    reports: &'a [FileReport],
    host: &'a str,
}

impl<'a> Summary<'a> {
    /// Of these reports, on this host.
    pub(super) fn new(reports: &'a [FileReport], host: &'a str) -> Self {
        Self { reports, host }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &'a Problem> + use<'a> {
        self.reports.iter().flat_map(|report| &report.problems)
    }

    pub(super) fn errors(&self) -> usize {
        self.problems().filter(|problem| problem.severity == Severity::Error).count()
    }

    pub(super) fn warnings(&self) -> usize {
        self.problems().filter(|problem| problem.severity == Severity::Warning).count()
    }

    fn files(&self) -> usize {
        self.reports.iter().filter(|report| report.is_configuration).count()
    }

    fn watches(&self) -> usize {
        self.reports.iter().map(|report| report.here).sum()
    }

    fn elsewhere(&self) -> usize {
        self.reports.iter().filter(|report| report.is_elsewhere()).count()
    }

    /// `301 files, 300 watches: 1 error, 2 warnings`.
    pub(super) fn line(&self) -> String {
        let (files, watches) = (self.files(), self.watches());
        let found = match (self.errors(), self.warnings()) {
            (0, 0) if files == 0 => "nothing to check, there is no twitcher.conf and no *.toml".to_owned(),
            (0, 0) => "no problems".to_owned(),
            (errors, 0) => counted(errors, "error", "errors"),
            (0, warnings) => counted(warnings, "warning", "warnings"),
            (errors, warnings) => format!(
                "{}, {}",
                counted(errors, "error", "errors"),
                counted(warnings, "warning", "warnings")
            ),
        };
        let mut line =
            format!("{}, {}: {found}", counted(files, "file", "files"), counted(watches, "watch", "watches"));
        let elsewhere = self.elsewhere();
        if elsewhere > 0 {
            let host = escape::line(self.host.as_bytes());
            let verb = if elsewhere == 1 { "is" } else { "are" };
            let _ =
                write!(line, "; {} {verb} not for this host, {host}", counted(elsewhere, "file", "files"));
        }
        line.push('\n');
        line
    }

    /// One line for each file.
    pub(super) fn names(&self) -> String {
        let mut names = String::new();
        for report in self.reports.iter().filter(|report| report.is_configuration) {
            let word = match report.state {
                LoadState::Loaded if report.is_elsewhere() => "not for this host",
                LoadState::Loaded => "ok",
                LoadState::Broken | LoadState::Refused => report.state.word(),
            };
            let _ = writeln!(names, "{}: {word}", escape::line(report.path.as_os_str().as_bytes()));
            for note in &report.notes {
                let _ = writeln!(names, "  {}", escape::line(note.as_bytes()));
            }
        }
        names
    }

    /// `{"files", "watches", "errors", "warnings", "problems"}`.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let value = json!({
            "files": self.files(),
            "watches": self.watches(),
            "errors": self.errors(),
            "warnings": self.warnings(),
            "problems": self.problems().map(problem_json).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&value)
            .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
        Ok(text + "\n")
    }
}

fn problem_json(problem: &Problem) -> Value {
    json!({
        "file": problem.file.to_string_lossy(),
        "line": problem.place.map(|place| place.line),
        "column": problem.place.map(|place| place.column),
        "severity": problem.severity.word(),
        "message": problem.message,
        "hint": problem.help(),
    })
}
