//! A change as one line: for people, cut to the width of the terminal; for programs, whole.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::super::json::value_json;
use super::super::{Failure, print};
use crate::log::escape;
use crate::watch::Version;

/// A change of one key.
pub(super) struct Line<'a> {
    /// When it was seen; `None`: before we looked.
    pub(super) time: Option<jiff::Timestamp>,
    pub(super) version: Version,
    /// The key, in full.
    pub(super) key: String,
    pub(super) event: Event<'a>,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// It was written; a node may have no value.
    Put(Option<&'a [u8]>),
    Delete,
}

impl<'a> Event<'a> {
    fn word(self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Delete => "delete",
        }
    }

    fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Put(value) => value,
            Self::Delete => None,
        }
    }
}

/// Prints changes.
pub(super) struct Printer {
    json: bool,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints changes that came together.
    pub(super) fn print(&self, lines: &[Line<'_>]) -> Result<(), Failure> {
        let width = width();
        let text: String =
            lines.iter().map(|line| if self.json { line.as_json() } else { line.as_text(width) }).collect();
        print(&text)
    }
}

impl Line<'_> {
    fn as_json(&self) -> String {
        let value = self.event.value().map(value_json);
        let shown = serde_json::json!({
            "time": self.time.map(|time| format!("{time:.3}")),
            "version": self.version.to_string(),
            "event": self.event.word(),
            "key": self.key,
            "value": value,
        });
        format!("{shown}\n")
    }

    fn as_text(&self, width: Option<usize>) -> String {
        let time = self.time.map_or_else(
            || format!("{:23}", "-"),
            |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        );
        let key = escape::line(self.key.as_bytes());
        let mut text = format!("{time}  {}  {:6}  {key}", self.version, self.event.word());
        if let Some(value) = self.event.value() {
            text.push_str("  ");
            match std::str::from_utf8(value) {
                // A tab is as wide as the terminal likes.
                Ok(value) => text.push_str(&escape::line(value.as_bytes()).replace('\t', "\\t")),
                Err(_) => {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "<{} bytes>", value.len());
                }
            }
        }
        let mut text = match width {
            Some(width) => cut(text, width),
            None => text,
        };
        text.push('\n');
        text
    }
}

/// At most so many columns, the last of them an ellipsis where something was cut.
fn cut(mut text: String, width: usize) -> String {
    if text.width() <= width {
        return text;
    }
    let mut columns = 0;
    let room = width.saturating_sub(1);
    let end = text.char_indices().find(|(_, character)| {
        columns += character.width().unwrap_or(0);
        columns > room
    });
    text.truncate(end.map_or(0, |(end, _)| end));
    text.push('…');
    text
}

/// The terminal's width in characters, or what `COLUMNS` says; `None` where output goes elsewhere: lines whole.
fn width() -> Option<usize> {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() {
        return crossterm::terminal::size()
            .ok()
            .map(|(columns, _)| columns.into())
            .filter(|width| *width > 0);
    }
    std::env::var("COLUMNS").ok()?.parse().ok().filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(key: &str, event: Event<'a>) -> Line<'a> {
        Line { time: None, version: Version::Revision(7), key: key.to_owned(), event }
    }

    #[test]
    fn a_line_stays_one_line_and_within_the_width() {
        let text =
            |path, value, width| line(path, value).as_text(width).trim_start_matches(['-', ' ']).to_owned();
        assert_eq!(
            text("/top/a", Event::Put(Some(b"one\ntwo\t")), None),
            "7  put     /top/a  one\\ntwo\\t\n"
        );
        assert_eq!(text("/top/a", Event::Put(Some(b"\xff\0")), None), "7  put     /top/a  <2 bytes>\n");
        assert_eq!(text("/top", Event::Put(None), None), "7  put     /top\n");
        assert_eq!(text("/top/a\nb", Event::Delete, None), "7  delete  /top/a\\nb\n");
        for width in 1..80 {
            let value = "日本語のとても長い値 and more of it, far more than fits".as_bytes();
            let shown = line("/top/a", Event::Put(Some(value))).as_text(Some(width));
            let shown = shown.strip_suffix('\n').unwrap();
            assert!(shown.width() <= width && shown.width() + 2 > width, "{width}: {shown}");
            assert!(shown.ends_with('…'), "{shown}");
        }
    }

    #[test]
    fn json_is_whole() {
        let text = line("/top/a", Event::Put(Some(b"\xff"))).as_json();
        assert_eq!(
            text,
            "{\"time\":null,\"version\":\"7\",\"event\":\"put\",\"key\":\"/top/a\",\"value\":{\"base64\":\"/w==\"}}\n"
        );
        let text = line("/top/a", Event::Delete).as_json();
        assert!(text.contains("\"event\":\"delete\"") && text.contains("\"value\":null"), "{text}");
    }
}
