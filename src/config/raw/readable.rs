//! The readable rest of a `twitcher.conf` with syntax errors. Pure.
//!
//! The file is cut at the lines that begin a table. A piece that is valid TOML by itself is kept, whatever is wrong elsewhere;
//! in the first piece, with the daemon's settings, each line is judged by itself. Anything else is blanked out, so that the
//! rest keeps its positions.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Value;
use toml::de::DeTable;

use super::depth;
use super::part::Part;
use crate::watch::StoreName;

/// A text without errors of the syntax.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct Readable {
    /// The text.
    pub(in crate::config) text: String,
    /// The parts that were blanked out, at least partly.
    pub(in crate::config) blamed: BTreeSet<Part>,
    /// Some blanked text could not be assigned to a part: any part that is not in the text may have been in it.
    pub(in crate::config) is_torn: bool,
}

/// Blanks out everything that is not valid TOML.
pub(in crate::config) fn readable(text: &str) -> Readable {
    let mut readable = Readable { text: text.to_owned(), blamed: BTreeSet::new(), is_torn: false };
    if is_toml(text) {
        return readable;
    }
    let pieces = pieces(text);
    for (number, piece) in pieces.iter().enumerate() {
        if is_toml(&text[piece.clone()]) {
            continue;
        }
        if number == 0 {
            readable.keep_lines(piece.clone());
        } else {
            readable.drop_table(piece.clone());
        }
    }
    // Pieces may be valid one by one and invalid together, such as a table that is written twice.
    while let Some(at) = first_error(&readable.text) {
        let wrong = pieces.iter().skip(1).find(|piece| piece.contains(&at) && !readable.is_blank(piece));
        match wrong {
            Some(piece) => readable.drop_table(piece.clone()),
            None => readable.drop_all(),
        }
    }
    readable
}

impl Readable {
    /// Keeps the lines of the first piece that are TOML by themselves.
    fn keep_lines(&mut self, piece: Range<usize>) {
        let mut at = piece.start;
        for line in self.text[piece.clone()].to_owned().split_inclusive('\n') {
            let range = at..at + line.len();
            at = range.end;
            if is_toml(line) {
                continue;
            }
            let name = line.split('=').next().unwrap_or_default();
            match part_of(&format!("{name} = 0")) {
                Some(part) => drop(self.blamed.insert(part)),
                None => self.is_torn = true,
            }
            // The end of a value with several lines is not known.
            if ["\"\"\"", "'''", "[", "{", "]", "}"].iter().any(|sign| line.contains(sign)) {
                self.is_torn = true;
                self.blank(range.start..piece.end);
                return;
            }
            self.blank(range);
        }
    }

    /// Blanks out a table, and blames the part in its head.
    fn drop_table(&mut self, piece: Range<usize>) {
        match part_of(self.text[piece.clone()].lines().next().unwrap_or_default()) {
            Some(part) => drop(self.blamed.insert(part)),
            None => self.is_torn = true,
        }
        self.blank(piece);
    }

    fn drop_all(&mut self) {
        self.is_torn = true;
        self.blank(0..self.text.len());
    }

    fn is_blank(&self, piece: &Range<usize>) -> bool {
        self.text[piece.clone()].trim().is_empty()
    }

    fn blank(&mut self, range: Range<usize>) {
        let blank: String =
            self.text[range.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        self.text.replace_range(range, &blank);
    }
}

fn is_toml(text: &str) -> bool {
    first_error(text).is_none()
}

/// Where the first error is.
fn first_error(text: &str) -> Option<usize> {
    if let Some(span) = depth::too_deep(text) {
        return Some(span.start);
    }
    let (_, errors) = DeTable::parse_recoverable(text);
    errors.iter().map(|error| error.span().unwrap_or(0..0).start).min()
}

/// The text before the first table, and each table with its head.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut begins = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            begins.push(at);
        }
        at += line.len();
    }
    let ends: Vec<usize> = begins.iter().skip(1).copied().chain([text.len()]).collect();
    begins.into_iter().zip(ends).map(|(begin, end)| begin..end).collect()
}

/// The part that a table with this head, or a line with this name, belongs to.
fn part_of(line: &str) -> Option<Part> {
    if depth::too_deep(line).is_some() {
        return None;
    }
    let root = toml::from_str::<toml::Table>(line).ok()?;
    let (name, value) = root.iter().next()?;
    match (name.as_str(), value) {
        ("store", Value::Table(stores)) => Some(Part::Store(StoreName::new(stores.keys().next()?).ok()?)),
        (name, _) => Part::top(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let Readable { text: kept, blamed, is_torn } = readable(text);
        assert_eq!(kept.len(), text.len(), "positions stay");
        assert!(is_toml(&kept) && toml::from_str::<toml::Table>(&kept).is_ok(), "{kept}");
        let lines: Vec<&str> = kept.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let blamed: Vec<String> = blamed.iter().map(ToString::to_string).collect();
        let torn = if is_torn { "; torn" } else { "" };
        format!("{} | {}{torn}", lines.join("; "), blamed.join(" "))
    }

    #[test]
    fn what_is_toml_by_itself_is_kept() {
        for (text, expected) in [
            ("host = 'a'\n[vars]\nb = 'c'\n", "host = 'a'; [vars]; b = 'c' | "),
            // An error in a line of the daemon's settings.
            ("log = \nhost = 'a'\n[vars]\n", "host = 'a'; [vars] | `log`"),
            ("host = \"a\nlog = 'json'\n", "log = 'json' | `host`"),
            ("state_dir = '/a'\nwhat is this\n", "state_dir = '/a' | ; torn"),
            ("log = '''a\nhost = 'b'\n[vars]\n", "[vars] | `log`; torn"),
            ("store.x.url = a\nvars.b = 'c'\n", "vars.b = 'c' | [store.x]"),
            // An error in a table.
            ("host = 'a'\n[store.x]\nurl = etcd://a\n[vars]\n", "host = 'a'; [vars] | [store.x]"),
            (
                "[store.x]\nurl = 'etcd://a'\n[store.x.tls]\nca = \n",
                "[store.x]; url = 'etcd://a' | [store.x]",
            ),
            ("[defaults]\ncwd = \"\"\"a\n[vars]\na = 'b'\n", "[vars]; a = 'b' | [defaults]"),
            ("[store.x\nurl = 'etcd://a'\n[vars]\n", "[vars] | ; torn"),
            ("[nothing]\na = \n[vars]\n", "[vars] | ; torn"),
            // Two tables that are invalid together.
            ("[vars]\na = 'b'\n[fleet]\n[vars]\na = 'c'\n", "[vars]; a = 'b'; [fleet] | [vars]"),
            ("no toml at all: \u{1}\n\u{e4}\n", " | ; torn"),
            ("", " | "),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
        assert!(told(&"[".repeat(100_000)).ends_with("torn"));
        assert!(told(&format!("a{} = 1", ".a".repeat(100_000))).ends_with("torn"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_becomes_toml(
            text in "(\\PC{0,10}|\\[vars\\]\n|\\[store\\.x\\]\n|host = 'a'\n|'''|\"|\n|\\[|=){0,30}"
        ) {
            let _ = told(&text);
        }
    }
}
