//! What every key does, in a window that scrolls where it does not fit.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Color;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Widget};

use super::{Theme, bar, faint};
use crate::cli::tree::keys::HELP;
use crate::cli::tree::wrap::words;

/// Columns of the window where there are enough.
const WIDE: u16 = 64;
/// Columns of the names of keys.
const KEYS: usize = 14;

/// The window, and its inside, which holds the lines of text.
fn areas(screen: Rect) -> (Rect, Rect, usize) {
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

/// The last line that can be the first on the screen.
pub(in crate::cli::tree) fn last(size: (u16, u16)) -> usize {
    let (_, inner, text) = areas(Rect::new(0, 0, size.0, size.1));
    text.saturating_sub(usize::from(inner.height).max(1))
}

/// Keys and what they do; a long text goes on under itself.
fn lines(width: u16) -> Vec<(&'static str, String)> {
    let room = usize::from(width).saturating_sub(KEYS).max(1);
    let of = |(keys, what): &(&'static str, &str)| {
        let names = std::iter::once(*keys).chain(std::iter::repeat(""));
        names.zip(words(what, room)).collect::<Vec<_>>()
    };
    HELP.iter().flat_map(of).collect()
}

pub(super) fn draw(buffer: &mut Buffer, screen: Rect, first: usize, theme: Theme) {
    let (whole, inner, text) = areas(screen);
    Clear.render(whole, buffer);
    let height = usize::from(inner.height);
    let scrolls = text > height;
    let below = if scrolls { " ↑ ↓ scroll " } else { " any key closes " };
    let block = Block::new().borders(Borders::ALL).border_style(faint());
    let block = block.title(" Keys ").title_bottom(below).title_alignment(Alignment::Center);
    block.render(whole, buffer);
    let shown = lines(inner.width).into_iter().skip(first).take(height);
    let shown: Vec<Line<'_>> = shown
        .map(|(keys, what)| {
            let keys = Span::styled(format!("{keys:<KEYS$}"), theme.bold(Color::Cyan));
            Line::from(vec![keys, Span::raw(what)])
        })
        .collect();
    Paragraph::new(shown).render(inner, buffer);
    if scrolls && height > 0 {
        let edge = Rect { width: inner.width + 1, ..inner }.intersection(buffer.area);
        bar(buffer, edge, text - height, first, height);
    }
}
