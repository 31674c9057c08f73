//! Draws the help window, which scrolls if it does not fit.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Color;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Widget};

use super::theme::{Theme, bar, faint};
use crate::cli::tree::help::{KEYS, areas, lines};

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
