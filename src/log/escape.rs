//! Escapes and bounds text from outside, so that it is safe on one line of a log: the only place that does so.

use std::fmt::Write as _;

/// The longest note, `… (18446744073709551615 bytes cut)`, in bytes.
const LONGEST_NOTE: usize = 36;

/// Makes one line: control characters, invalid UTF-8 and characters that reorder text become visible escapes.
///
/// Tabs and backslashes stay as they are, so that escaping twice changes nothing.
pub fn line(bytes: &[u8]) -> String {
    escaped(bytes, false)
}

/// Like [`line()`], but keeps newlines.
pub fn lines(text: &str) -> String {
    escaped(text.as_bytes(), true)
}

fn escaped(bytes: &[u8], newlines: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\t' => out.push('\t'),
                '\n' if newlines => out.push('\n'),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                _ if character.is_ascii_control() => push_byte(&mut out, character as u8),
                _ if character.is_control() || misleads(character) => {
                    out.extend(character.escape_unicode());
                }
                _ => out.push(character),
            }
        }
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
        }
    }
    out
}

fn push_byte(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Line and paragraph separators, and characters that change the direction of the text around them.
fn misleads(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most the first `limit` bytes of a text, cut between characters, followed by how many bytes were cut.
pub fn bounded(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = text.floor_char_boundary(limit);
        let cut = text.len() - end;
        text.truncate(end);
        push_cut(&mut text, cut as u64);
    }
    text
}

/// Like [`bounded`], but `limit` includes the note about the cut, as far as the note itself fits.
pub fn within(text: String, limit: usize) -> String {
    if text.len() > limit { bounded(text, limit.saturating_sub(LONGEST_NOTE)) } else { text }
}

/// Appends how many bytes were cut.
pub fn push_cut(text: &mut String, bytes: u64) {
    let _ = write!(text, "… ({bytes} bytes cut)");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(line(b"plain \xc3\xa4 text\twith tab"), "plain ä text\twith tab");
        assert_eq!(line(b"a\nb\rc\x1b[31m\x00\x7f"), "a\\nb\\rc\\x1b[31m\\x00\\x7f");
        assert_eq!(line(b"\xff\xfe ok \xe2\x82"), "\\xff\\xfe ok \\xe2\\x82");
        assert_eq!(line("\u{85}\u{202e}\u{2028}".as_bytes()), "\\u{85}\\u{202e}\\u{2028}");
        assert_eq!(lines("a\nb\r"), "a\nb\\r");
    }

    #[test]
    fn escaping_twice_changes_nothing() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let once = line(&every_byte);
        assert_eq!(line(once.as_bytes()), once);
    }

    #[test]
    fn cut_text_says_how_many_bytes_were_cut() {
        assert_eq!(bounded("short".into(), 5), "short");
        assert_eq!(bounded("longer".into(), 5), "longe… (1 bytes cut)");
        assert_eq!(bounded("aää".into(), 4), "aä… (2 bytes cut)");
        assert_eq!(within("x".repeat(99), 99), "x".repeat(99));
        assert_eq!(within("x".repeat(101), 99), format!("{}… (38 bytes cut)", "x".repeat(63)));
        assert_eq!(format!("… ({} bytes cut)", u64::MAX).len(), LONGEST_NOTE);
    }
}
