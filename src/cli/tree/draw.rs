//! The view on a screen. Draws what fits on it and touches nothing else, whatever there is.

mod about;
mod row;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Margin, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, Clear, Paragraph, Scrollbar, ScrollbarOrientation, ScrollbarState, Widget, Wrap,
};

use super::escape::one_line;
use super::keys::HELP;
use super::model::{Link, Pane, View};
use super::value::Mode;

pub(super) use row::arrow_at;

/// What marks things on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether there may be colours; bold, faint and reversed text there always is.
    pub colours: bool,
}

impl Theme {
    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn faint(self) -> Style {
        if self.colours { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    fn bold(self, colour: Color) -> Style {
        self.colour(colour).add_modifier(Modifier::BOLD)
    }
}

/// Draws the view.
pub fn draw(frame: &mut Frame<'_>, view: &View, theme: Theme) {
    let areas = view.areas();
    let screen = frame.area();
    let buffer = frame.buffer_mut();
    // The screen may have become smaller since the view was told of its size.
    let inside = |area: Rect| area.intersection(screen);
    header(buffer, inside(areas.header), view, theme);
    tree(buffer, inside(areas.tree), view, theme);
    if let Some(value) = areas.value {
        about::draw(buffer, &value, screen, view, theme);
        text(buffer, inside(value.text), view, theme);
    }
    footer(buffer, inside(areas.footer), view, theme);
    if view.help {
        help(buffer, screen, theme);
    }
}

/// The way of showing a value whose name is at a place.
pub(super) fn mode_at(view: &View, at: Position) -> Option<Mode> {
    let value = view.areas().value?;
    about::tabs(&value).into_iter().find(|(_, area)| area.contains(at)).map(|(mode, _)| mode)
}

/// Puts a line at the left and one at the right of one row; the right one gives way.
fn both_sides(buffer: &mut Buffer, area: Rect, left: &Line<'_>, right: &Line<'_>) {
    if area.is_empty() {
        return;
    }
    let (end, _) = buffer.set_line(area.x, area.y, left, area.width);
    let wide = u16::try_from(right.width()).unwrap_or(u16::MAX);
    if wide < area.right().saturating_sub(end) {
        buffer.set_line(area.right() - wide, area.y, right, wide);
    }
}

fn header(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let keys = match view.keys() {
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    };
    let link = match &view.link {
        Link::Connecting => Span::styled("◌ connecting ", theme.bold(Color::Yellow)),
        Link::Connected => Span::styled(format!("● connected · {keys} "), theme.colour(Color::Green)),
        Link::Lost(_) => Span::styled(format!("○ NOT CONNECTED · {keys} "), theme.bold(Color::Red)),
    };
    // How far it can be believed matters more than where it is.
    let room = usize::from(area.width).saturating_sub(link.width() + 2);
    let key = one_line(view.key.as_str(), room.saturating_sub(1));
    let store = room.checked_sub(key.chars().count() + 3).filter(|room| *room > 8);
    let store = store.map_or_else(String::new, |room| format!("  {}", one_line(&view.store, room - 1)));
    let left = Line::from(vec![
        Span::styled(format!(" {key}"), theme.bold(Color::Cyan)),
        Span::styled(store, theme.faint()),
    ]);
    both_sides(buffer, area, &left, &Line::from(link));
}

fn tree(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    if view.keys() == 0 && view.rows.len() == 1 && area.height > 1 {
        let message = match (&view.link, view.loaded()) {
            (Link::Lost(_), false) => "Nothing was read yet; it is tried again and again.".to_owned(),
            (Link::Connecting | Link::Connected, false) => format!("Reading {} …", view.store),
            (Link::Connecting | Link::Connected | Link::Lost(_), true) => {
                format!("Nothing at or below {} yet. What comes is shown here.", view.key)
            }
        };
        let message = Paragraph::new(one_line(&message, 300)).style(theme.faint()).wrap(Wrap { trim: true });
        message.render(area.inner(Margin { horizontal: 2, vertical: 1 }), buffer);
        return;
    }
    let height = usize::from(area.height);
    let shown = view.rows.iter().enumerate().skip(view.first).take(height);
    let scrolls = view.rows.len() > height;
    let wide = area.width.saturating_sub(u16::from(scrolls));
    for (y, (index, (id, depth))) in (area.y..).zip(shown) {
        let line = row::line(view, *id, *depth, wide, theme);
        buffer.set_line(area.x, y, &line, wide);
        if index == view.row {
            let style = match view.focus {
                Pane::Tree => Modifier::REVERSED,
                Pane::Value => Modifier::UNDERLINED,
            };
            buffer.set_style(Rect::new(area.x, y, wide, 1), style);
        }
    }
    if scrolls {
        bar(buffer, area, view.rows.len() - height, view.first, height, theme);
    }
}

fn text(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let height = usize::from(area.height);
    let mut y = area.y;
    if let Some(remark) = view.lines.remark.as_ref().filter(|_| view.line == 0 && height > 1) {
        let remark = Line::styled(one_line(remark, 200), theme.colour(Color::Yellow));
        buffer.set_line(area.x, y, &remark, area.width);
        y += 1;
    }
    let lines = view.lines.lines.iter().skip(view.line);
    for (y, line) in (y..area.bottom()).zip(lines) {
        buffer.set_stringn(area.x, y, line, usize::from(area.width), Style::new());
    }
    if view.lines.lines.len() > height && height > 0 {
        let beside = Rect { width: area.width + 1, ..area }.intersection(buffer.area);
        bar(buffer, beside, view.lines.lines.len() - height, view.line, height, theme);
    }
}

/// A bar at the right edge that shows what part is on the screen.
fn bar(buffer: &mut Buffer, area: Rect, last: usize, at: usize, height: usize, theme: Theme) {
    use ratatui::widgets::StatefulWidget;
    let mut state = ScrollbarState::new(last + 1).position(at).viewport_content_length(height);
    let bar = Scrollbar::new(ScrollbarOrientation::VerticalRight).begin_symbol(None).end_symbol(None);
    bar.track_symbol(Some("│")).thumb_symbol("┃").style(theme.faint()).render(area, buffer, &mut state);
}

fn footer(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let place = Line::styled(format!("{}/{} ", view.row + 1, view.rows.len()), theme.faint());
    let search = &view.search;
    let left = if search.typing || !search.text.is_empty() {
        let found = match search.found {
            Some((at, of)) => Span::styled(format!("  {at} of {of}"), theme.faint()),
            None if search.text.is_empty() => Span::styled("part of a name, or of a/key", theme.faint()),
            None => Span::styled("  not found", theme.colour(Color::Red)),
        };
        let cursor = Span::styled(if search.typing { " " } else { "" }, Modifier::REVERSED);
        let text = Span::styled(format!(" /{}", one_line(&search.text, 60)), theme.bold(Color::Yellow));
        Line::from(vec![text, cursor, found])
    } else if let Link::Lost(why) = &view.link {
        Line::styled(format!(" {}", one_line(why, usize::from(area.width))), theme.colour(Color::Red))
    } else {
        let pairs =
            [("?", "help"), ("q", "quit"), ("/", "search"), ("Tab", "pane"), ("m", "mode"), ("v", "value")];
        let all = pairs.iter().flat_map(|(key, word)| {
            [
                Span::styled(format!(" {key} "), theme.bold(Color::Cyan)),
                Span::styled(format!("{word} "), theme.faint()),
            ]
        });
        let room = usize::from(area.width).saturating_sub(place.width() + 1);
        let mut left = Line::default();
        for pair in all.collect::<Vec<_>>().chunks(2) {
            if left.width() + pair.iter().map(Span::width).sum::<usize>() <= room {
                left.spans.extend(pair.iter().cloned());
            }
        }
        left
    };
    both_sides(buffer, area, &left, &place);
}

fn help(buffer: &mut Buffer, screen: Rect, theme: Theme) {
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(keys, what)| {
            Line::from(vec![Span::styled(format!(" {keys:<14}"), theme.bold(Color::Cyan)), Span::raw(*what)])
        })
        .collect();
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let edge = u16::from(screen.height >= rows + 2);
    let (width, height) = (44.min(screen.width), (rows + 2 * edge).min(screen.height));
    let area = Rect::new((screen.width - width) / 2, (screen.height - height) / 2, width, height);
    Clear.render(area, buffer);
    let mut text = Paragraph::new(lines);
    if edge == 1 {
        let block = Block::new().borders(Borders::ALL).border_style(theme.faint());
        text = text.block(block.title(" Keys ").title_alignment(Alignment::Center));
    }
    text.render(area, buffer);
}
