//! Fits text to a terminal, measured in columns. Pure, except for reading the width of the terminal.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::tree::wrap::words;

/// The columns of the terminal on standard output; else `COLUMNS`; else no limit.
pub(super) fn width() -> Option<usize> {
    if std::io::stdout().is_terminal() {
        return crossterm::terminal::size()
            .ok()
            .map(|(columns, _)| columns.into())
            .filter(|width| *width > 0);
    }
    std::env::var("COLUMNS").ok()?.parse().ok().filter(|width| *width > 0)
}

/// At most this many columns of a one-line text; `…` marks a cut.
pub(super) fn cut(mut text: String, width: usize) -> String {
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

/// Cut or padded with spaces to exactly this many columns.
pub(super) fn filled(text: String, width: usize) -> String {
    let mut text = cut(text, width);
    text.extend(std::iter::repeat_n(' ', width.saturating_sub(text.width())));
    text
}

/// Lines of whole words that fit: the text as it is where one line has room for it. Of several lines the first keeps
/// its own indentation, up to that of the other lines.
pub(super) fn folded(text: &str, width: Option<usize>, indent: usize) -> Vec<String> {
    let Some(width) = width.filter(|width| text.width() > *width) else { return vec![text.to_owned()] };
    let indent = indent.min(width / 2);
    let trimmed = text.trim_start_matches(' ');
    let own = (text.len() - trimmed.len()).min(indent);
    let mut lines = words(trimmed, width - indent);
    for (number, line) in lines.iter_mut().enumerate() {
        line.insert_str(0, &" ".repeat(if number == 0 { own } else { indent }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_and_filled_to_its_columns() {
        assert_eq!(cut("abc".into(), 3), "abc");
        assert_eq!(cut("abcd".into(), 3), "ab…");
        assert_eq!(cut("日本語".into(), 4), "日…");
        assert_eq!(filled("日".into(), 4), "日  ");
        for width in 1..9 {
            assert_eq!(filled("日本語のとても".into(), width).width(), width);
        }
    }

    #[test]
    fn folded_lines_keep_every_word_and_fit() {
        let text = "connect to a-very-long-host-name.example.org:2379: connection refused (os error 111)";
        assert_eq!(folded(text, None, 2), [text]);
        assert_eq!(folded("  one two", Some(8), 4), ["  one", "    two"]);
        assert_eq!(folded("one   two", Some(9), 2), ["one   two"]);
        for width in 4..100 {
            let lines = folded(text, Some(width), 2);
            assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
            let kept: String = lines.concat().replace(' ', "");
            assert_eq!(kept, text.replace(' ', ""), "{width}");
        }
        assert_eq!(folded("one two three", Some(8), 2), ["one", "  two", "  three"]);
    }
}
