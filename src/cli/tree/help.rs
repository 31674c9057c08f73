//! The help window: its size, and its lines.

use ratatui::layout::Rect;

use super::keys::HELP;
use super::wrap::words;

/// Columns of the window, if available.
const WIDE: u16 = 64;
/// Columns of the names of keys.
pub(super) const KEYS: usize = 14;

/// The window, and its inside with the lines of text.
pub(super) fn areas(screen: Rect) -> (Rect, Rect, usize) {
    let width = WIDE.min(screen.width);
    let text = lines(width.saturating_sub(4)).len();
    let rows = u16::try_from(text).unwrap_or(u16::MAX);
    let height = rows.saturating_add(2).min(screen.height);
    let whole = Rect::new((screen.width - width) / 2, (screen.height - height) / 2, width, height);
    let inner = Rect {
        x: whole.x + width.min(2),
        y: whole.y + height.min(1),
        width: width.saturating_sub(4),
        height: height.saturating_sub(2),
    };
    (whole, inner, text)
}

/// The last line that can be at the top.
pub(super) fn last(size: (u16, u16)) -> usize {
    let (_, inner, text) = areas(Rect::new(0, 0, size.0, size.1));
    text.saturating_sub(usize::from(inner.height).max(1))
}

/// Keys and what they do; long texts continue with an indentation.
pub(super) fn lines(width: u16) -> Vec<(&'static str, String)> {
    let room = usize::from(width).saturating_sub(KEYS).max(1);
    let of = |(keys, what): &(&'static str, &str)| {
        let names = std::iter::once(*keys).chain(std::iter::repeat(""));
        names.zip(words(what, room)).collect::<Vec<_>>()
    };
    HELP.iter().flat_map(of).collect()
}
