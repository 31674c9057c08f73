//! What a store holds, made harmless and readable for a terminal. Pure.

use std::fmt::Write;

/// Characters that could steer the terminal, or turn around what is read.
fn odd(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text in one line, with everything odd written as an escape; cut after so many characters.
pub(super) fn one_line(text: &str, characters: usize) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == characters {
            line.push('…');
            break;
        }
        push(&mut line, character);
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
pub(super) fn name(name: &str) -> String {
    if name.is_empty() { "\"\"".to_owned() } else { one_line(name, 500) }
}

/// The beginning of a value in one line, for beside its name.
pub(super) fn glimpse(value: &[u8], characters: usize) -> String {
    match std::str::from_utf8(value) {
        Ok("") => "\"\"".to_owned(),
        Ok(text) => one_line(text.strip_suffix('\n').unwrap_or(text), characters),
        Err(_) => bytes(value.len()),
    }
}

/// A size for people.
pub(super) fn bytes(count: usize) -> String {
    match count {
        1 => "1 byte".to_owned(),
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{} kB", count / 1000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

/// A line of a hex view: offset, up to `width` bytes, and what of them is text.
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
    fn nothing_odd_stays() {
        assert_eq!(one_line("a\x1b[31m\n\u{9b}\u{202e}é", 99), "a\\u{1b}[31m\\n\\u{9b}\\u{202e}é");
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("abcd", 3), "abc…");
        assert_eq!(glimpse(b"8080\n", 9), "8080");
        assert_eq!(glimpse(b"\xff\x00", 9), "2 bytes");
        assert_eq!(glimpse(b"", 9), "\"\"");
        assert_eq!(name(""), "\"\"");
    }

    #[test]
    fn bytes_are_shown_beside_their_text() {
        assert_eq!(hex(16, b"ab\x1b", 4), "000010  61 62 1b     ab·");
        assert_eq!(hex(0, b"0123456789", 10), "000000  30 31 32 33 34 35 36 37  38 39  0123456789");
    }
}
