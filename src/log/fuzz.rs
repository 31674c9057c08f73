//! Messages of any bytes in the log, for fuzzing.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::LogLevel;
use super::format::{Form, SYSLOG_BYTES};
use super::record::Record;
use super::rfc5424::Sender;
use super::server::Transport;

/// No text can forge a second message or another field, or make a message longer than its destination accepts.
pub(crate) fn formats(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (message, value) = text.split_once('\0').unwrap_or((&text, &text));
    let record = Record {
        time: jiff::Timestamp::UNIX_EPOCH,
        level: LogLevel::Info,
        message: message.to_owned(),
        fields: vec![
            ("watch", Value::from("git")),
            ("why", Value::from(value)),
            ("stream", Value::from(value)),
        ],
    };
    let zone = TimeZone::UTC;
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    let syslog = Form::Syslog.bytes(&record, &zone, 1);
    assert!(syslog.len() <= SYSLOG_BYTES && !syslog.iter().any(is_control), "{syslog:?}");
    let shown = String::from_utf8(Form::Text.bytes(&record, &zone, 1)).expect("text");
    assert!(shown.ends_with('\n') && shown.lines().skip(1).all(|line| line.starts_with("    ")), "{shown:?}");
    let json = Form::Json.bytes(&record, &zone, 1);
    assert_eq!(json.iter().position(|byte| *byte == b'\n'), Some(json.len() - 1));
    assert!(serde_json::from_slice::<serde_json::Map<String, Value>>(&json).is_ok());
    let fields = journal_fields(&Form::Journald.bytes(&record, &zone, 1)).expect("journald's format");
    let names = [
        "MESSAGE",
        "PRIORITY",
        "SYSLOG_FACILITY",
        "SYSLOG_IDENTIFIER",
        "SYSLOG_PID",
        "WATCH",
        "WHY",
        "STREAM",
    ];
    assert_eq!(fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(fields[6].1, value.as_bytes());
    let sender = Sender::new("host", 1);
    assert!(
        sender.frame(&record, Transport::Udp).len()
            <= SYSLOG_BYTES.max(
                sender.frame(&Record { message: String::new(), ..record.clone() }, Transport::Udp).len()
            )
    );
    let frame = sender.frame(&record, Transport::Tcp);
    let space = frame.iter().position(|byte| *byte == b' ').expect("a length");
    let length: usize = std::str::from_utf8(&frame[..space]).expect("digits").parse().expect("a number");
    assert_eq!(length, frame.len() - space - 1);
}

/// Native journal protocol: `NAME=value`, or the name alone, the length in 8 bytes and the value.
fn journal_fields(mut rest: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            fields.push((String::from_utf8(line[..equals].to_vec()).ok()?, line[equals + 1..].to_vec()));
            rest = after;
        } else {
            let (length, after) = after.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            fields.push((String::from_utf8(line.to_vec()).ok()?, after.get(..length)?.to_vec()));
            rest = after.get(length..)?.strip_prefix(b"\n")?;
        }
    }
    Some(fields)
}
