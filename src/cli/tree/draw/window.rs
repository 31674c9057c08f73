//! The visible part of a line through a window, with a sign where it is cut. Pure.

use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use super::theme::faint;

/// The columns of a line from `skip` on, at most `width`. `…` marks a cut at either edge.
pub(super) fn window(line: &Line<'_>, skip: usize, width: usize) -> Line<'static> {
    let characters = || {
        line.spans.iter().flat_map(|span| span.content.chars()).filter_map(|one| Some((one, one.width()?)))
    };
    let whole: usize = characters().map(|(_, wide)| wide).sum();
    let mut column = 0;
    let hidden = characters().any(|(character, wide)| {
        let before = column < skip && character != ' ';
        column += wide;
        before
    });
    let (cut, more) = (hidden && width > 0, whole > skip + width && width > 0);
    let (from, to) = (skip + usize::from(cut), (skip + width).saturating_sub(usize::from(more)));
    let mut spans: Vec<Span<'static>> = Vec::new();
    spans.extend(cut.then(|| Span::styled("…", faint())));
    let (mut column, mut begun) = (0, false);
    for span in &line.spans {
        let mut part = String::new();
        for character in span.content.chars() {
            let wide = character.width().unwrap_or(0);
            if column >= from && column + wide <= to && (wide > 0 || begun) {
                part.push(character);
                begun = true;
            } else if wide > 1 && column < to && column + wide > from {
                // Only half of it would be visible.
                part.push(' ');
            }
            column += wide;
        }
        spans.push(Span::styled(part, line.style.patch(span.style)));
    }
    spans.extend(more.then(|| Span::styled("…", faint())));
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str, skip: usize, width: usize) -> String {
        let line = Line::from(vec![Span::raw(text[..2].to_owned()), Span::raw(text[2..].to_owned())]);
        let seen = window(&line, skip, width);
        assert!(seen.width() <= width, "{seen}");
        seen.to_string()
    }

    #[test]
    fn a_cut_is_marked() {
        assert_eq!(seen("abcdef", 0, 6), "abcdef");
        assert_eq!(seen("abcdef", 0, 5), "abcd…");
        assert_eq!(seen("abcdef", 1, 5), "…cdef");
        assert_eq!(seen("abcdef", 1, 3), "…c…");
        assert_eq!(seen("  cdef", 2, 3), "cd…");
        assert_eq!(seen("abcdef", 9, 3), "…");
        assert_eq!(seen("abcdef", 0, 0), "");
        assert_eq!(seen("ab日本", 0, 5), "ab日…");
        assert_eq!(seen("ab日本", 0, 4), "ab …");
        assert_eq!(seen("ab日本e\u{301}", 2, 5), "… 本e\u{301}");
    }
}
