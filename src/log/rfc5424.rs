//! A record in the format of RFC 5424, with the fields as structured data. Pure.

use std::collections::BTreeMap;

use syslog::{Facility, Formatter5424, LogFormat as _, Severity};

use super::format::{SYSLOG_BYTES, plain};
use super::record::{LogLevel, Record};
use super::server::Transport;
use super::{escape, format};

/// Longest value of one field, in bytes, so that the fields never fill a datagram.
const VALUE_BYTES: usize = 256;
/// The id of our structured data. RFC 5612 reserves this enterprise number for documentation.
const DATA_ID: &str = "twitcher@32473";

/// The sender of the messages.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    formatter: Formatter5424,
}

impl Sender {
    /// A sender on the machine with this name.
    pub(super) fn new(host: &str, pid: u32) -> Self {
        let is_name = (1..=255).contains(&host.len()) && host.chars().all(|c| c.is_ascii_graphic());
        let hostname = Some(if is_name { host } else { "-" }.to_owned());
        let process = "twitcher".to_owned();
        Self { formatter: Formatter5424 { facility: Facility::LOG_DAEMON, hostname, process, pid } }
    }

    /// The frame of one record: a datagram, or a message with its length before it.
    pub(super) fn frame(&self, record: &Record, transport: Transport) -> Vec<u8> {
        let text = escape::lines(&format::headline(record));
        match transport {
            Transport::Udp => {
                let room = SYSLOG_BYTES.saturating_sub(self.message(record, "").len());
                self.message(record, &escape::within(text, room))
            }
            Transport::Tcp => {
                let message = self.message(record, &text);
                [format!("{} ", message.len()).into_bytes(), message].concat()
            }
        }
    }

    fn message(&self, record: &Record, text: &str) -> Vec<u8> {
        let mut written = Vec::new();
        // Writing into memory cannot fail.
        let _ = self.formatter.format(&mut written, severity(record.level), (0, data(record), text));
        stamped(&written, record.time)
    }
}

/// The crate writes the time of formatting. A record that waited for the server keeps the time when it was logged.
fn stamped(message: &[u8], time: jiff::Timestamp) -> Vec<u8> {
    let mut parts = message.splitn(3, |byte| *byte == b' ');
    let (priority, _now, rest) = (parts.next(), parts.next(), parts.next());
    let time = format!("{time:.6}").into_bytes();
    [priority.unwrap_or_default(), &time, rest.unwrap_or_default()].join(&b' ')
}

/// The fields by name. Our field names are valid in RFC 5424 as they are.
fn data(record: &Record) -> BTreeMap<String, BTreeMap<String, String>> {
    let value = |text: String| escape::within(escape::line(text.as_bytes()), VALUE_BYTES);
    let fields: BTreeMap<String, String> =
        record.fields.iter().map(|(name, field)| ((*name).to_owned(), value(plain(field)))).collect();
    if fields.is_empty() { BTreeMap::new() } else { BTreeMap::from([(DATA_ID.to_owned(), fields)]) }
}

fn severity(level: LogLevel) -> Severity {
    match level {
        LogLevel::Error => Severity::LOG_ERR,
        LogLevel::Warn => Severity::LOG_WARNING,
        LogLevel::Info => Severity::LOG_INFO,
        LogLevel::Debug | LogLevel::Trace => Severity::LOG_DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn record(message: &str, fields: &[(&'static str, &str)]) -> Record {
        Record {
            time: "2026-11-05T02:04:49.123456789Z".parse().unwrap(),
            level: LogLevel::Warn,
            message: message.to_owned(),
            fields: fields.iter().map(|(name, value)| (*name, Value::from(*value))).collect(),
        }
    }

    fn frame(record: &Record, transport: Transport) -> String {
        String::from_utf8(Sender::new("web-17", 42).frame(record, transport)).unwrap()
    }

    #[test]
    fn a_message_has_its_own_time_and_its_fields_as_structured_data() {
        let record = record("two\nlines\x1b", &[("watch", "git"), ("run", "a-1"), ("why", "a \"b\" ]\\")]);
        let expected = "<28>1 2026-11-05T02:04:49.123456Z web-17 twitcher 42 0 \
                        [twitcher@32473 run=\"a-1\" watch=\"git\" why=\"a \\\"b\\\" \\]\\\\\"] git: two\nlines\\x1b";
        assert_eq!(frame(&record, Transport::Udp), expected);
        let counted = format!("{} {expected}", expected.len());
        assert_eq!(frame(&record, Transport::Tcp), counted);
    }

    #[test]
    fn missing_fields_and_host_name_become_nil_values() {
        let bytes = Sender::new("no name", 42).frame(&record("text", &[]), Transport::Udp);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "<28>1 2026-11-05T02:04:49.123456Z - twitcher 42 0 - text"
        );
    }

    #[test]
    fn a_datagram_has_at_most_8_kib_and_says_what_was_cut() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let quotes = "\"".repeat(1024);
        let fields: Vec<(&'static str, &str)> = names.map(|name| (name, quotes.as_str())).to_vec();
        for fields in [&[][..], &fields] {
            let message = frame(&record(&"ä".repeat(8000), fields), Transport::Udp);
            assert!((SYSLOG_BYTES - 64..=SYSLOG_BYTES).contains(&message.len()), "{}", message.len());
            assert!(message.ends_with(" bytes cut)"), "{}", &message[message.len() - 40..]);
        }
        assert!(frame(&record(&"x".repeat(16_000), &[]), Transport::Tcp).ends_with("xxx"));
    }
}
