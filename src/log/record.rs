//! One message with its fields, taken from a `tracing` event and bounded.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::escape;

/// Longest message in bytes.
const MESSAGE_BYTES: usize = 16 * 1024;
/// Longest value of a field in bytes.
const FIELD_BYTES: usize = 1024;

/// `log_level`: the least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed for good and needs an operator.
    Error,
    /// Something failed and is retried, or may need an operator.
    Warn,
    /// What the daemon did.
    Info,
    /// Details that help to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// A word that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of error, warn, info, debug, trace")]
pub struct UnknownLevel;

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or(UnknownLevel)
    }
}

impl LogLevel {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The severity of syslog(3): 3 error, 4 warning, 6 informational, 7 debug.
    pub(super) fn severity(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug | Self::Trace => 7,
        }
    }

    fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            Level::DEBUG => Self::Debug,
            Level::TRACE => Self::Trace,
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// When.
    pub(super) time: jiff::Timestamp,
    /// How severe.
    pub(super) level: LogLevel,
    /// The text, not yet escaped.
    pub(super) message: String,
    /// The fields in the order of the event.
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl Record {
    pub(super) fn of(event: &Event<'_>, time: jiff::Timestamp) -> Self {
        let level = LogLevel::of(*event.metadata().level());
        let mut record = Self { time, level, message: String::new(), fields: Vec::new() };
        event.record(&mut record);
        record
    }

    /// Its approximate size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(_, value)| match value {
            Value::String(text) => text.len() + 64,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => 64,
        });
        128 + self.message.len() + fields.sum::<usize>()
    }

    fn add(&mut self, field: &Field, value: Value) {
        self.fields.push((field.name(), value));
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message = escape::bounded(text.to_owned(), MESSAGE_BYTES);
        } else {
            self.add(field, escape::bounded(text.to_owned(), FIELD_BYTES).into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &error.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_parsed_from_its_name() {
        for name in ["error", "warn", "info", "debug", "trace"] {
            assert_eq!(name.parse::<LogLevel>().unwrap().name(), name);
        }
        assert_eq!("5".parse::<LogLevel>(), Err(UnknownLevel));
    }
}
