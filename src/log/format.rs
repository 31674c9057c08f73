//! The bytes of a record for `/dev/log`, journald and standard error. Pure.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::escape;
use super::record::Record;

/// syslog's facility `daemon`.
const FACILITY: u8 = 3;
/// The longest message that rsyslog takes by default, in bytes: its "8k" are slightly less.
pub(super) const SYSLOG_BYTES: usize = 8096;
/// The fields shown before the message.
const IN_HEADLINE: [&str; 2] = ["watch", "stream"];

/// The format of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Syslog,
    Journald,
    Text,
    Json,
}

impl Form {
    /// A whole datagram, or a line with its newline.
    pub(super) fn bytes(self, record: &Record, zone: &TimeZone, pid: u32) -> Vec<u8> {
        match self {
            Self::Syslog => syslog(record, zone, pid).into_bytes(),
            Self::Journald => journald(record, pid),
            Self::Text => text(record, zone).into_bytes(),
            Self::Json => json(record).into_bytes(),
        }
    }
}

/// RFC 3164 as `/dev/log` takes it: local time, no host name, one line.
///
/// The crate `syslog` is used for log servers only ([`super::rfc5424`]): its RFC 3164 time is UTC, where daemons on
/// `/dev/log` expect local time, and its socket does not reconnect after the syslog daemon restarts.
fn syslog(record: &Record, zone: &TimeZone, pid: u32) -> String {
    let priority = FACILITY * 8 + record.level.severity();
    let time = record.time.to_zoned(zone.clone()).strftime("%b %e %H:%M:%S").to_string();
    let line = escape::line(sentence(record).as_bytes());
    escape::within(format!("<{priority}>{time} twitcher[{pid}]: {line}"), SYSLOG_BYTES)
}

/// For people: further lines of a message are indented, so that none of them looks like a message.
fn text(record: &Record, zone: &TimeZone) -> String {
    let time = record.time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string();
    let message = escape::lines(&sentence(record)).replace('\n', "\n    ");
    format!("{time} {:5} {message}\n", record.level.name().to_uppercase())
}

/// The message with its watch before it, `git: the message`; output of an action also has its stream, `git stdout: a
/// line`. Names of watches contain no space, so a line of output never looks like a message of the daemon.
pub(super) fn headline(record: &Record) -> String {
    let field = |wanted: &str| record.fields.iter().find(|(name, _)| *name == wanted);
    let words: Vec<String> =
        IN_HEADLINE.iter().filter_map(|name| field(name)).map(|(_, value)| plain(value)).collect();
    if words.is_empty() { record.message.clone() } else { format!("{}: {}", words.join(" "), record.message) }
}

/// The fields that the message about a run's end, which has an outcome, already contains as words.
const IN_WORDS: [&str; 6] = ["version", "reason", "attempt", "exit_code", "seconds", "file"];

/// The headline, then all fields that it does not contain, in brackets.
fn sentence(record: &Record) -> String {
    let mut sentence = headline(record);
    let is_end = record.fields.iter().any(|(name, _)| *name == "outcome");
    let others: Vec<String> = record
        .fields
        .iter()
        .filter(|(name, _)| !(IN_HEADLINE.contains(name) || is_end && IN_WORDS.contains(name)))
        .map(|(name, value)| format!("{name}={}", word(&plain(value))))
        .collect();
    if !others.is_empty() {
        sentence.extend([" [", &others.join(" "), "]"]);
    }
    sentence
}

/// A value as text, without the quotes of JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value, quoted unless it is one simple word.
fn word(value: &str) -> String {
    let simple = !value.is_empty() && !value.contains([' ', '"', '=', '[', ']', '\n', '\t']);
    if simple { value.to_owned() } else { format!("{value:?}") }
}

fn json(record: &Record) -> String {
    let mut object = serde_json::Map::new();
    object.insert("time".to_owned(), format!("{:.3}", record.time).into());
    object.insert("level".to_owned(), record.level.name().into());
    object.insert("message".to_owned(), record.message.clone().into());
    for (name, value) in &record.fields {
        // A field cannot replace time, level or message.
        object.entry(*name).or_insert_with(|| value.clone());
    }
    format!("{}\n", Value::Object(object))
}

/// journald's native protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL>.
fn journald(record: &Record, pid: u32) -> Vec<u8> {
    let mut out = Vec::new();
    journal_field(&mut out, "MESSAGE", &escape::lines(&record.message));
    journal_field(&mut out, "PRIORITY", &record.level.severity().to_string());
    journal_field(&mut out, "SYSLOG_FACILITY", &FACILITY.to_string());
    journal_field(&mut out, "SYSLOG_IDENTIFIER", "twitcher");
    journal_field(&mut out, "SYSLOG_PID", &pid.to_string());
    for (name, value) in &record.fields {
        journal_field(&mut out, &journal_name(name), &plain(value));
    }
    out
}

/// The name in capital letters, digits and underscores, without leading underscores: journald drops any other field.
fn journal_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    name.trim_start_matches('_').to_owned()
}

fn journal_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        // The encoding for arbitrary bytes: a 64-bit little-endian length first.
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogLevel;

    fn record(message: &str, fields: &[(&'static str, &str)]) -> Record {
        Record {
            time: "2026-11-05T02:04:49.123456Z".parse().unwrap(),
            level: LogLevel::Warn,
            message: message.to_owned(),
            fields: fields.iter().map(|(name, value)| (*name, Value::from(*value))).collect(),
        }
    }

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(1))
    }

    const FIELDS: &[(&str, &str)] = &[("watch", "git"), ("run", "a-1-1"), ("why", "no \"way\"")];

    #[test]
    fn syslog_has_local_time_facility_daemon_and_one_line() {
        let bytes = Form::Syslog.bytes(&record("two\nlines\x1b", FIELDS), &zone(), 42);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "<28>Nov  5 03:04:49 twitcher[42]: git: two\\nlines\\x1b [run=a-1-1 why=\"no \\\"way\\\"\"]"
        );
        let long = Form::Syslog.bytes(&record(&"\0".repeat(10_000), &[]), &zone(), 42);
        assert!((SYSLOG_BYTES - 64..=SYSLOG_BYTES).contains(&long.len()), "{}", long.len());
    }

    #[test]
    fn a_multi_line_message_cannot_forge_another_message() {
        let bytes = Form::Text.bytes(&record("two\n2026 lines\r", FIELDS), &zone(), 42);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "2026-11-05T03:04:49.123+01:00 WARN  git: two\n    2026 lines\\r [run=a-1-1 why=\"no \\\"way\\\"\"]\n"
        );
    }

    #[test]
    fn output_lines_differ_from_the_daemons_own_messages() {
        let fields = &[("watch", "git"), ("run", "a-1"), ("stream", "stderr")];
        let said = |fields| sentence(&record("succeeded", fields));
        assert_eq!(said(fields), "git stderr: succeeded [run=a-1]");
        assert_eq!(said(&fields[..2]), "git: succeeded [run=a-1]");
    }

    #[test]
    fn the_message_of_an_end_does_not_repeat_its_fields() {
        let fields = &[("watch", "git"), ("run", "a-1"), ("attempt", "2"), ("outcome", "failed")];
        let said = |fields| sentence(&record("failed (attempt 2)", fields));
        assert_eq!(said(fields), "git: failed (attempt 2) [run=a-1 outcome=failed]");
        assert_eq!(said(&fields[..3]), "git: failed (attempt 2) [run=a-1 attempt=2]");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut record = record("two\nlines", &[("watch", "git"), ("level", "forged")]);
        record.fields.push(("seconds", 1.5.into()));
        let bytes = Form::Json.bytes(&record, &zone(), 42);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"time\":\"2026-11-05T02:04:49.123Z\",\"level\":\"warn\",\"message\":\"two\\nlines\",\"watch\":\"git\",\
             \"seconds\":1.5}\n"
        );
    }

    #[test]
    fn journald_gets_every_field_in_full() {
        let bytes = Form::Journald.bytes(&record("two\nlines", FIELDS), &zone(), 42);
        let mut expected = b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n".to_vec();
        expected.extend_from_slice(
            b"PRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=twitcher\nSYSLOG_PID=42\n\
              WATCH=git\nRUN=a-1-1\nWHY=no \"way\"\n",
        );
        assert_eq!(bytes, expected);
        // A value cannot add a field.
        let forged = journald(&record("x", &[("watch", "a\nPRIORITY=0")]), 42);
        assert!(forged.ends_with(b"WATCH\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n"));
        assert_eq!(journal_name("_odd.name"), "ODD_NAME");
    }
}
