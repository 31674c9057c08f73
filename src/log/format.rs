//! A record as the bytes that a destination takes. Pure.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::escape;
use super::record::Record;

/// How daemons are called in syslog: facility 3, daemon.
const FACILITY: u8 = 3;
/// What syslog daemons take in one message (rsyslog's default), in bytes.
const SYSLOG_BYTES: usize = 8 * 1024;

/// The form of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Syslog,
    Journald,
    Text,
    Json,
}

impl Form {
    /// The whole datagram or line.
    pub(super) fn bytes(self, record: &Record, zone: &TimeZone, pid: u32) -> Vec<u8> {
        match self {
            Self::Syslog => syslog(record, zone, pid).into_bytes(),
            Self::Journald => journald(record, pid),
            Self::Text => text(record, zone).into_bytes(),
            Self::Json => json(record).into_bytes(),
        }
    }
}

/// RFC 3164 as /dev/log takes it: local time, no host name. One line.
fn syslog(record: &Record, zone: &TimeZone, pid: u32) -> String {
    let priority = FACILITY * 8 + record.level.severity();
    let time = record.time.to_zoned(zone.clone()).strftime("%b %e %H:%M:%S").to_string();
    let line = escape::line(sentence(record).as_bytes());
    escape::bounded(format!("<{priority}>{time} twitcher[{pid}]: {line}"), SYSLOG_BYTES)
}

/// For people: a message of several lines keeps them, set off so that none can pass for a message.
fn text(record: &Record, zone: &TimeZone) -> String {
    let time = record.time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string();
    let message = escape::lines(&sentence(record)).replace('\n', "\n    ");
    format!("{time} {:5} {message}\n", record.level.name().to_uppercase())
}

/// The message, the watch before it and everything else after it.
fn sentence(record: &Record) -> String {
    let mut sentence = String::new();
    if let Some((_, watch)) = record.fields.iter().find(|(name, _)| *name == "watch") {
        sentence.push_str(&plain(watch));
        sentence.push_str(": ");
    }
    sentence.push_str(&record.message);
    let others: Vec<String> = record
        .fields
        .iter()
        .filter(|(name, _)| *name != "watch")
        .map(|(name, value)| format!("{name}={}", word(&plain(value))))
        .collect();
    if !others.is_empty() {
        sentence.extend([" [", &others.join(" "), "]"]);
    }
    sentence
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value that reads as one word, in quotes where it is not.
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
        // A field never takes the place of the three.
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

/// Capital letters, digits and underscores, not an underscore first: others are thrown away.
fn journal_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    name.trim_start_matches('_').to_owned()
}

fn journal_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        // The form for values of any bytes: a length of 64 bits, lowest byte first.
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
        assert!((SYSLOG_BYTES..SYSLOG_BYTES + 32).contains(&long.len()), "{}", long.len());
    }

    #[test]
    fn text_is_for_people_and_cannot_be_forged() {
        let bytes = Form::Text.bytes(&record("two\n2026 lines\r", FIELDS), &zone(), 42);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "2026-11-05T03:04:49.123+01:00 WARN  git: two\n    2026 lines\\r [run=a-1-1 why=\"no \\\"way\\\"\"]\n"
        );
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
    fn journald_gets_fields_and_whole_values() {
        let bytes = Form::Journald.bytes(&record("two\nlines", FIELDS), &zone(), 42);
        let mut expected = b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n".to_vec();
        expected.extend_from_slice(
            b"PRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=twitcher\nSYSLOG_PID=42\n\
              WATCH=git\nRUN=a-1-1\nWHY=no \"way\"\n",
        );
        assert_eq!(bytes, expected);
        // A value cannot add a field of its own.
        let forged = journald(&record("x", &[("watch", "a\nPRIORITY=0")]), 42);
        assert!(forged.ends_with(b"WATCH\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n"));
        assert_eq!(journal_name("_odd.name"), "ODD_NAME");
    }
}
