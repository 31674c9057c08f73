//! A problem of a configuration file: its place, what is wrong, and how to correct it, as text.
//!
//! Editors and grep can parse the first line. Text from a file never reaches a terminal unescaped.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::secret;

/// The longest part of a source line that is shown, in characters.
const SHOWN_LINE: usize = 120;
/// The longest part of a user's word that a message repeats, in characters.
const SHOWN_WORD: usize = 60;

/// Whether a problem prevents loading the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is broken as a whole.
    Error,
    /// It is loaded, but probably does not do what was meant.
    Warning,
}

impl Severity {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A position in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory.
    pub file: Arc<Path>,
    /// Its position; `None` if it concerns the whole file.
    pub place: Option<Position>,
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// How to correct it.
    pub help: Option<String>,
    excerpt: Option<Excerpt>,
}

/// The escaped part of the source line to show, and the range in it to point at, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The piece of the line.
    pub text: String,
    /// Where the piece to point at begins.
    pub caret: usize,
    /// How long that is; at least 1.
    pub width: usize,
}

impl Problem {
    /// A problem of a file or directory as a whole.
    pub fn of_file(file: &Arc<Path>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: Arc::clone(file),
            place: None,
            message: message.into(),
            help: Some(help.into()),
            excerpt: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    #[must_use]
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same without help: the message says all that is known.
    #[must_use]
    pub fn without_help(mut self) -> Self {
        self.help = None;
        self
    }

    /// The same at a place.
    #[must_use]
    pub fn at(mut self, place: Option<Position>) -> Self {
        self.place = place;
        self
    }

    /// What can be shown of the line that it is in.
    pub fn excerpt(&self) -> Option<&Excerpt> {
        self.excerpt.as_ref()
    }

    /// The file's path, escaped.
    pub fn shown_file(&self) -> String {
        escaped(&self.file.to_string_lossy())
    }

    /// What to do about it, with a correct example.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// One line for programs and tables: `git.toml:3:1: unknown field …`, without directory and help.
    pub fn one_line(&self) -> String {
        let name = self.file.file_name().map_or(&*self.file, Path::new);
        let mut line = escaped(&name.to_string_lossy());
        if let Some(Position { line: at, column }) = self.place {
            let _ = write!(line, ":{at}:{column}");
        }
        let word = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        let _ = write!(line, ": {word}{}", self.message);
        line
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.file.to_string_lossy()))?;
        if let Some(Position { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}: {}", self.severity.word(), self.message)?;
        let mut margin = 0;
        if let (Some(Position { line, .. }), Some(excerpt)) = (self.place, &self.excerpt) {
            let number = line.to_string();
            margin = number.len();
            write!(f, "\n{:margin$} |", "")?;
            write!(f, "\n{number} | {}", excerpt.text)?;
            let (before, carets) = (" ".repeat(excerpt.caret), "^".repeat(excerpt.width));
            write!(f, "\n{:margin$} | {before}{carets}", "")?;
        }
        if let Some(help) = &self.help {
            for (number, line) in help.lines().enumerate() {
                let word = if number == 0 { "= help: " } else { "        " };
                write!(f, "\n{:margin$} {word}{line}", "")?;
            }
        }
        Ok(())
    }
}

/// The text of a file, to convert byte ranges into problems.
#[derive(Debug)]
pub(super) struct SourceText {
    pub(super) path: Arc<Path>,
    text: Box<str>,
    /// Where each line begins.
    lines: Box<[usize]>,
    /// The bytes of store tables, where users write secrets by mistake. None of their lines is shown.
    hidden: Box<[Range<usize>]>,
}

impl SourceText {
    pub(super) fn new(path: Arc<Path>, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, text: text.into(), lines, hidden: Box::default() }
    }

    /// The same for `twitcher.conf`.
    pub(super) fn of_settings(path: Arc<Path>, text: &str) -> Self {
        Self { hidden: secret::store_tables(text).into(), ..Self::new(path, text) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The line that contains a byte, without its end, and its offset.
    fn line_at(&self, byte: usize) -> (&str, usize) {
        let begin = self.text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[begin..].find('\n').map_or(self.text.len(), |length| begin + length);
        (self.text[begin..end].trim_end_matches('\r'), begin)
    }

    pub(super) fn place(&self, byte: usize) -> Position {
        let byte = self.floor(byte);
        let (_, begin) = self.line_at(byte);
        // Binary search: a file may have ten thousand watches, each with a position.
        let line = self.lines.partition_point(|start| *start <= begin);
        Position { line, column: self.text[begin..byte].chars().count() + 1 }
    }

    /// Positions come from a parser that may count the end of the text, or point into a character.
    pub(super) fn floor(&self, byte: usize) -> usize {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    }

    /// Whether the line that begins at this byte may hold a secret. Then it is not shown, whatever the problem.
    fn hides(&self, begin: usize, line: &str) -> bool {
        self.hidden.iter().any(|hidden| hidden.contains(&begin)) || secret::may_hold(line)
    }

    /// A problem of a range in bytes.
    pub(super) fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        let start = self.floor(span.start);
        let (line, begin) = self.line_at(start);
        let end =
            self.floor(span.end).clamp(start, begin.max(start) + line.len().saturating_sub(start - begin));
        Problem {
            severity: Severity::Error,
            file: Arc::clone(&self.path),
            place: Some(self.place(start)),
            message: message.into(),
            help: None,
            excerpt: (!self.hides(begin, line)).then(|| Excerpt::of(line, start - begin, end - begin)),
        }
    }
}

impl Excerpt {
    fn of(line: &str, start: usize, end: usize) -> Self {
        let start = start.min(line.len());
        let before = line[..start].chars().count();
        let skipped = before.saturating_sub(SHOWN_LINE / 2);
        let mut text = String::new();
        if skipped > 0 {
            text.push('…');
        }
        let (mut caret, mut width, mut shown) = (None, 0, 0);
        for (byte, c) in line.char_indices().skip(skipped) {
            if shown >= SHOWN_LINE {
                text.push('…');
                break;
            }
            let at = text.chars().count();
            escape(c, &mut text);
            let wide = text.chars().count() - at;
            shown += wide;
            if byte >= start && (byte < end || caret.is_none()) {
                caret.get_or_insert(at);
                width += wide;
            }
        }
        let end_of_text = text.chars().count();
        Self { text, caret: caret.unwrap_or(end_of_text), width: width.max(1) }
    }
}

/// Writes a character so that it can neither control a terminal nor reorder the text around it.
fn escape(c: char, into: &mut String) {
    let steers = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    match c {
        '\t' => into.push(' '),
        _ if steers => into.extend(c.escape_unicode()),
        _ => into.push(c),
    }
}

/// A text with terminal controls escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::new();
    text.chars().for_each(|c| escape(c, &mut shown));
    shown
}

/// A user's word for a message: escaped, and cut if it is long.
pub(super) fn word(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN_WORD).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    escaped(&cut)
}

/// The known word that was most likely meant, if any is close.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().take(SHOWN_WORD).collect::<String>().to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&given, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.len().min(given.len()) / 4)
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceText {
        SourceText::new(Arc::from(Path::new("/etc/twitcher/a\u{1b}.toml")), text)
    }

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let source = source("ä = 1\r\nöb = 2\n");
        assert_eq!(source.place(0), Position { line: 1, column: 1 });
        assert_eq!(source.place(8), Position { line: 2, column: 1 });
        assert_eq!(source.place(10), Position { line: 2, column: 2 });
        assert_eq!(source.place(9), Position { line: 2, column: 1 }, "inside of a character");
        assert_eq!(source.place(999), Position { line: 3, column: 1 }, "behind the end");
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_and_the_caret_still_points_right() {
        let text = "x = \"\u{1b}[31m\u{202e}\" y";
        let at = text.find('y').unwrap();
        let problem = source(text).problem(at..at + 1, "no");
        insta::assert_snapshot!(problem, @r#"
        /etc/twitcher/a\u{1b}.toml:1:14: error: no
          |
        1 | x = "\u{1b}[31m\u{202e}" y
          |                          ^
        "#);
        assert_eq!(problem.one_line(), r"a\u{1b}.toml:1:14: no");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("x={}HERE{}", "a".repeat(4998), "b".repeat(5000));
        let shown = source(&text).problem(5000..5004, "no").to_string();
        assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let column = lines[3].find('^').unwrap();
        let pointed: String = lines[2].chars().skip(column).take(4).collect();
        assert_eq!(pointed, "HERE");
        assert_eq!(lines[3].matches('^').count(), 4);
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["action", "timeout", "uid", "gid", "key"];
        for (given, near) in [
            ("actoin", Some("action")),
            ("Timeout", Some("timeout")),
            ("uidd", Some("uid")),
            ("banana", None),
        ] {
            assert_eq!(nearest(given, known), near, "{given}");
        }
    }

    #[test]
    fn a_line_with_a_password_is_not_shown() {
        for line in ["url = etcd://u:hunter2@h", "a = 1 # http://hunter2@h/", "url = 'etcd://u:hunt/er2@h'"] {
            let shown = source(line).problem(0..1, "no").to_string();
            assert_eq!(shown.lines().count(), 1, "{shown}");
        }
        assert!(source("a = 'http://h/' # me@example").problem(0..1, "no").to_string().contains("me@"));
    }

    proptest::proptest! {
        #[test]
        fn any_place_of_any_text_can_be_shown(text in "\\PC{0,30}[\n\r\t\u{0}-\u{1f}\u{202e}a-z]{0,200}", a in 0usize..300, b in 0usize..300) {
            let problem = source(&text).problem(a..b, "no");
            let shown = problem.to_string();
            // Without the line, if it may hold a secret.
            proptest::prop_assert!([1, 4].contains(&shown.lines().count()));
            proptest::prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
