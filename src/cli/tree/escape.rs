//! Escapes a store's content for display on a terminal. Pure.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

/// Characters that could control the terminal, reorder text, or be invisible; and those that combine with their neighbours
/// into one glyph (families, flags, skin colours, emoji of plain characters): terminals disagree on the width of such
/// glyphs, and would leave remains behind.
fn odd(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{20e3}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f1e6}'..='\u{1f1ff}'
                | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Text on one line, with every special character escaped, cut to this many columns.
pub(super) fn one_line(text: &str, columns: usize) -> String {
    let mut line = String::new();
    let mut shown = String::new();
    // Where the text would be cut, which takes a column.
    let (mut taken, mut end) = (0, 0);
    for character in text.chars() {
        shown.clear();
        push(&mut shown, character);
        taken += shown.width();
        if taken > columns {
            line.truncate(end);
            line.extend((columns > 0).then_some('…'));
            break;
        }
        line.push_str(&shown);
        if taken < columns {
            end = line.len();
        }
    }
    line
}

/// Appends a character, or its escape.
pub(super) fn push(line: &mut String, character: char) {
    if odd(character) {
        line.extend(character.escape_default());
    } else {
        line.push(character);
    }
}

/// A name of a key; an empty one is shown as quotes.
pub(super) fn name(name: &str, columns: usize) -> String {
    if name.is_empty() { "\"\"".to_owned() } else { one_line(name, columns) }
}

/// The beginning of a value on one line, to show beside its name.
pub(super) fn glimpse(value: &[u8], columns: usize) -> String {
    match std::str::from_utf8(value) {
        Ok("") => "\"\"".to_owned(),
        Ok(text) => one_line(text.strip_suffix('\n').unwrap_or(text), columns),
        Err(_) => format!("<{}>", bytes(value.len())),
    }
}

/// A readable size.
pub(super) fn bytes(count: usize) -> String {
    match count {
        1 => "1 byte".to_owned(),
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{} kB", count / 1000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

/// A line of a hex view: offset, up to `width` bytes, and their text.
pub(super) fn hex(offset: usize, bytes: &[u8], width: usize) -> String {
    let mut line = format!("{offset:06x} ");
    for place in 0..width {
        if place % 8 == 0 && place > 0 {
            line.push(' ');
        }
        // Writing to a string cannot fail.
        let _ = match bytes.get(place) {
            Some(byte) => write!(line, " {byte:02x}"),
            None => write!(line, "   "),
        };
    }
    line.push_str("  ");
    line.extend(bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '·' }));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(one_line("a\x1b[31m\n\u{9b}\u{202e}é", 99), "a\\u{1b}[31m\\n\\u{9b}\\u{202e}é");
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("abcd", 3), "ab…");
        assert_eq!(one_line("日本語", 5), "日本…");
        assert_eq!(one_line("日本語", 4), "日…");
        assert_eq!(one_line("ab\x1b", 5), "ab…");
        assert_eq!(one_line("ab", 0), "");
        assert_eq!(glimpse(b"8080\n", 9), "8080");
        assert_eq!(glimpse(b"\xff\x00", 9), "<2 bytes>");
        assert_eq!(glimpse(b"", 9), "\"\"");
        assert_eq!(name("", 9), "\"\"");
    }

    /// The result is as wide as the sum of its characters, in every terminal.
    #[test]
    fn clusters_whose_width_is_not_agreed_on_are_taken_apart() {
        let family = "👩\u{200d}👩\u{200d}👧\u{200d}👦";
        assert_eq!(one_line(family, 99), "👩\\u{200d}👩\\u{200d}👧\\u{200d}👦");
        assert_eq!(one_line("🇪🇺", 99), "\\u{1f1ea}\\u{1f1fa}");
        let scotland = "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}";
        for text in [family, "🇪🇺🇫🇷", "❤\u{fe0f}", "👍🏽", "1\u{fe0f}\u{20e3}", scotland, "a\u{ad}b\u{200b}c"]
        {
            let shown = one_line(text, 99);
            let sum: usize = shown.chars().filter_map(unicode_width::UnicodeWidthChar::width).sum();
            assert_eq!(shown.width(), sum, "{shown}");
            assert_ne!(shown, text);
        }
        for text in ["e\u{301}", "한글", "日本語", "नमस्ते", "👍 ✓"] {
            assert_eq!(one_line(text, 99), text);
        }
    }

    #[test]
    fn bytes_are_shown_beside_their_text() {
        assert_eq!(hex(16, b"ab\x1b", 4), "000010  61 62 1b     ab·");
        assert_eq!(hex(0, b"0123456789", 10), "000000  30 31 32 33 34 35 36 37  38 39  0123456789");
    }
}
