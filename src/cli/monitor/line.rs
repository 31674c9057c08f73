//! A change as one line: for people, fitted to the terminal; for programs, in full.

use std::cell::Cell;
use std::fmt::Write as _;

use super::super::columns::{cut, width};
use super::super::json::value_json;
use super::super::{Failure, print};
use crate::log::escape;
use crate::watch::Version;

/// A narrower terminal has no room for dates and versions, or for columns at all.
const NARROW: usize = 60;
const NARROWEST: usize = 36;
/// The visible part of a hash.
const HASH_DIGITS: usize = 8;
/// Initial width of versions, so that columns do not move with each power of ten.
const VERSION_DIGITS: usize = 5;

/// A change of one key.
pub(super) struct Line<'a> {
    /// When it was seen; `None`: before monitoring started.
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
    /// The columns of the longest version so far.
    versions: Cell<usize>,
}

/// How much of a change is shown, and in how many columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// All of it, as long as it is.
    Whole,
    /// In this many columns, with this many for versions.
    Wide { width: usize, versions: usize },
    /// Without date and version.
    Narrow { width: usize },
    /// Without alignment.
    Narrowest { width: usize },
}

impl Layout {
    fn of(width: Option<usize>, versions: usize) -> Self {
        match width {
            None => Self::Whole,
            Some(width) if width < NARROWEST => Self::Narrowest { width },
            Some(width) if width < NARROW => Self::Narrow { width },
            Some(width) => Self::Wide { width, versions },
        }
    }

    fn width(self) -> Option<usize> {
        match self {
            Self::Whole => None,
            Self::Wide { width, .. } | Self::Narrow { width } | Self::Narrowest { width } => Some(width),
        }
    }
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json, versions: Cell::new(VERSION_DIGITS) }
    }

    /// Prints changes that came together.
    pub(super) fn print(&self, lines: &[Line<'_>]) -> Result<(), Failure> {
        let longest = lines.iter().map(|line| line.short_version().len()).max();
        self.versions.set(self.versions.get().max(longest.unwrap_or(0)));
        let layout = Layout::of(width(), self.versions.get());
        let text: String =
            lines.iter().map(|line| if self.json { line.as_json() } else { line.as_text(layout) }).collect();
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

    fn short_version(&self) -> String {
        let mut text = self.version.to_string();
        match self.version {
            Version::Revision(_) => {}
            Version::Hash(_) => text.truncate(HASH_DIGITS),
        }
        text
    }

    fn seen(&self, format: &str) -> String {
        let zone = jiff::tz::TimeZone::system();
        self.time.map_or_else(|| "-".to_owned(), |time| time.to_zoned(zone).strftime(format).to_string())
    }

    fn as_text(&self, layout: Layout) -> String {
        let key = escape::line(self.key.as_bytes());
        let (word, whole) = (self.event.word(), "%Y-%m-%d %H:%M:%S%.3f");
        let (mut text, gap) = match layout {
            Layout::Whole => (format!("{:23}  {}  {word:6}  {key}", self.seen(whole), self.version), "  "),
            Layout::Wide { versions, .. } => {
                let version = self.short_version();
                (format!("{:23}  {version:>versions$}  {word:6}  {key}", self.seen(whole)), "  ")
            }
            Layout::Narrow { .. } => (format!("{:8}  {word:6}  {key}", self.seen("%H:%M:%S")), "  "),
            Layout::Narrowest { .. } => (format!("{word} {key}"), " "),
        };
        if let Some(value) = self.event.value() {
            text.push_str(gap);
            match std::str::from_utf8(value) {
                // The width of a tab depends on the terminal.
                Ok(value) => text.push_str(&escape::line(value.as_bytes()).replace('\t', "\\t")),
                Err(_) => {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "<{} bytes>", value.len());
                }
            }
        }
        let mut text = match layout.width() {
            Some(width) => cut(text, width),
            None => text,
        };
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::watch::ContentHash;

    fn line<'a>(key: &str, event: Event<'a>) -> Line<'a> {
        Line { time: None, version: Version::Revision(7), key: key.to_owned(), event }
    }

    #[test]
    fn a_line_stays_one_line_and_within_the_width() {
        let text =
            |path, value| line(path, value).as_text(Layout::Whole).trim_start_matches(['-', ' ']).to_owned();
        assert_eq!(text("/top/a", Event::Put(Some(b"one\ntwo\t"))), "7  put     /top/a  one\\ntwo\\t\n");
        assert_eq!(text("/top/a", Event::Put(Some(b"\xff\0"))), "7  put     /top/a  <2 bytes>\n");
        assert_eq!(text("/top", Event::Put(None)), "7  put     /top\n");
        assert_eq!(text("/top/a\nb", Event::Delete), "7  delete  /top/a\\nb\n");
        for width in 1..80 {
            let value = "日本語のとても長い値 and more of it, far more than fits".as_bytes();
            let shown = line("/top/a", Event::Put(Some(value))).as_text(Layout::of(Some(width), 5));
            let shown = shown.strip_suffix('\n').unwrap();
            assert!(shown.width() <= width && shown.width() + 2 > width, "{width}: {shown}");
            assert!(shown.ends_with('…'), "{shown}");
        }
    }

    #[test]
    fn what_fits_is_shown_first() {
        let hash = Version::Hash(ContentHash::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
        let shown = |version, event, width| {
            let time = Some("2026-01-02T03:04:05.678Z".parse().unwrap());
            Line { time, version, key: "/m/a".to_owned(), event }.as_text(Layout::of(width, 8))
        };
        let put = Event::Put(Some(b"one"));
        // The time is local.
        let wide = shown(hash, put, Some(80));
        assert!(wide.ends_with("  01234567  put     /m/a  one\n") && wide.len() == 53, "{wide}");
        assert_eq!(&shown(Version::Revision(99), put, Some(80))[23..], "        99  put     /m/a  one\n");
        assert_eq!(&shown(Version::Revision(100), put, Some(80))[23..], "       100  put     /m/a  one\n");
        let whole = shown(hash, put, None);
        assert!(whole.contains("  0123456789abcdef0123456789abcdef  put     /m/a  one"), "{whole}");
        assert_eq!(&shown(hash, put, Some(59))[8..], "  put     /m/a  one\n");
        assert_eq!(&shown(hash, Event::Delete, Some(40))[8..], "  delete  /m/a\n");
        assert_eq!(shown(hash, put, Some(35)), "put /m/a one\n");
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
