//! Draws the view on a screen. Draws whatever fits, and touches nothing else.

mod about;
mod help;
mod row;
#[cfg(test)]
mod tests;
mod theme;
mod window;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Margin, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};
use unicode_width::UnicodeWidthStr;

use super::escape::one_line;
use super::model::{Link, Pane, View};
use super::value::Mode;
use super::wrap::words;

pub(super) use row::arrow_at;
pub use theme::Theme;
use theme::{bar, faint};
use window::window;

/// Draws the view.
pub fn draw(frame: &mut Frame<'_>, view: &View, theme: Theme) {
    let areas = view.areas();
    let screen = frame.area();
    let buffer = frame.buffer_mut();
    // The screen may have become smaller since the view learned its size.
    let inside = |area: Rect| area.intersection(screen);
    header(buffer, inside(areas.header), view, theme);
    tree(buffer, inside(areas.tree), view, theme);
    if let Some(value) = areas.value {
        about::draw(buffer, &value, screen, view, theme);
        text(buffer, inside(value.text), view, theme);
    }
    footer(buffer, inside(areas.footer), view, theme);
    trouble(buffer, inside(areas.trouble), view, theme);
    if let Some(first) = view.help {
        help::draw(buffer, screen, first, theme);
    }
}

/// The way of showing a value whose name is at a place.
pub(super) fn mode_at(view: &View, at: Position) -> Option<Mode> {
    let value = view.areas().value?;
    about::tabs(&value).into_iter().find(|(_, area)| area.contains(at)).map(|(mode, _)| mode)
}

/// Puts a text at the left and one at the right of a row; the left one is cut if necessary.
fn both_sides(buffer: &mut Buffer, area: Rect, left: &Line<'_>, right: &Line<'_>) {
    let right_width = u16::try_from(right.width()).unwrap_or(u16::MAX).min(area.width);
    let room = area.width - right_width;
    let left = window(left, 0, usize::from(room.saturating_sub(1)));
    if !area.is_empty() {
        buffer.set_line(area.x, area.y, &left, room);
        buffer.set_line(area.x + room, area.y, right, right_width);
    }
}

fn header(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let keys = match view.keys() {
        _ if !view.loaded() => String::new(),
        1 => " · 1 key".to_owned(),
        keys => format!(" · {keys} keys"),
    };
    // The first one that leaves room for some of the key.
    let (style, texts) = match &view.link {
        Link::Connecting => (theme.bold(Color::Yellow), ["◌ connecting ".to_owned()].to_vec()),
        Link::Connected => (theme.colour(Color::Green), [format!("● connected{keys} ")].to_vec()),
        Link::Refused(_) if !view.loaded() => {
            (theme.bold(Color::Yellow), ["● connected, not read ".to_owned()].to_vec())
        }
        Link::Refused(_) => {
            let text = "● connected, out of date";
            (theme.bold(Color::Yellow), [format!("{text}{keys} "), format!("{text} ")].to_vec())
        }
        Link::Lost { since, .. } => {
            let text = "○ NOT CONNECTED";
            let whole = format!("{text} since {since}{keys} ");
            (theme.bold(Color::Red), [whole, format!("{text} since {since} "), format!("{text} ")].to_vec())
        }
    };
    let wanted = view.key.as_str().width().min(6) + 2;
    let fits = |text: &&String| text.width() + wanted <= usize::from(area.width);
    let text = texts.iter().find(fits).or(texts.last()).cloned().unwrap_or_default();
    // The connection state matters more than the key.
    let room = usize::from(area.width).saturating_sub(text.width() + 2);
    let key = one_line(view.key.as_str(), room);
    let store = room.checked_sub(key.width() + 2).filter(|room| *room > 8);
    let store = store.map_or_else(String::new, |room| format!("  {}", one_line(&view.store, room)));
    let left = Line::from(vec![
        Span::styled(format!(" {key}"), theme.bold(Color::Cyan)),
        Span::styled(store, faint()),
    ]);
    both_sides(buffer, area, &left, &Line::styled(text, style));
}

/// The problem, in as many lines as there are for it.
fn trouble(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let Some(why) = view.trouble() else { return };
    let mut lines = words(&why, usize::from(area.width).saturating_sub(2).max(1));
    let height = usize::from(area.height);
    if let Some(last) = lines.get(..height).and(height.checked_sub(1)).filter(|_| lines.len() > height) {
        lines[last].push_str(" …");
    }
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        let line = Line::styled(format!(" {line}"), theme.colour(Color::Red));
        buffer.set_line(area.x, y, &window(&line, 0, usize::from(area.width)), area.width);
    }
}

/// The text shown instead of rows: that the subtree is being read, or that there is nothing.
fn instead(view: &View) -> String {
    let seconds = view.now.as_secs();
    let then = match view.awaited {
        None => "",
        Some(true) => " All will be expanded.",
        Some(false) => " All will be collapsed.",
    };
    match (&view.link, view.loaded()) {
        (Link::Refused(_) | Link::Lost { .. }, false) => {
            format!("Nothing was read yet; it is tried again.{then}")
        }
        (Link::Connecting, false) => {
            format!("{} Connecting to {} … {seconds}s.{then}", turn(view), view.store)
        }
        (Link::Connected, false) => format!("{} Reading {} … {seconds}s.{then}", turn(view), view.store),
        (Link::Connecting | Link::Connected | Link::Refused(_) | Link::Lost { .. }, true) => {
            format!("Nothing at or below {} yet. What comes is shown here.", view.key)
        }
    }
}

/// A sign that turns with time, to show activity.
fn turn(view: &View) -> char {
    const SIGNS: [char; 8] = ['⠋', '⠙', '⠸', '⠴', '⠦', '⠇', '⠏', '⠉'];
    let step = view.now.as_millis() / view.lasts().as_millis().max(1);
    SIGNS[usize::try_from(step % 8).unwrap_or(0)]
}

fn tree(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    if view.keys() == 0 && view.rows.len() == 1 && area.height > 1 {
        let message = Paragraph::new(one_line(&instead(view), 300)).style(faint()).wrap(Wrap { trim: true });
        let vertical = u16::from(area.height > 4);
        message.render(area.inner(Margin { horizontal: 2, vertical }), buffer);
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
        bar(buffer, area, view.rows.len() - height, view.first, height);
    }
}

fn text(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let height = usize::from(area.height);
    let lines = view.lines.lines.iter().enumerate().skip(view.line);
    for (y, (index, line)) in (area.y..area.bottom()).zip(lines) {
        let style = if index < view.lines.remarks { theme.colour(Color::Yellow) } else { Style::new() };
        buffer.set_stringn(area.x, y, line, usize::from(area.width), style);
    }
    if view.lines.lines.len() > height && height > 0 {
        let beside = Rect { width: area.width + 1, ..area }.intersection(buffer.area);
        bar(buffer, beside, view.lines.lines.len() - height, view.line, height);
    }
}

fn footer(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let place = Line::styled(format!("{}/{} ", view.row + 1, view.rows.len()), faint());
    let search = &view.search;
    let left = if search.typing || !search.text.is_empty() {
        let found = match search.found {
            Some((at, of)) => Span::styled(format!("  {at} of {of}"), faint()),
            None if !view.loaded() && !search.text.is_empty() => Span::styled("  when it is read", faint()),
            None if search.text.is_empty() => Span::styled("part of a name, or of a/key", faint()),
            None => Span::styled("  not found", theme.colour(Color::Red)),
        };
        let cursor = Span::styled(if search.typing { " " } else { "" }, Modifier::REVERSED);
        let text = Span::styled(format!(" /{}", one_line(&search.text, 60)), theme.bold(Color::Yellow));
        Line::from(vec![text, cursor, found])
    } else {
        let pairs =
            [("?", "help"), ("q", "quit"), ("/", "search"), ("Tab", "pane"), ("m", "mode"), ("v", "value")];
        let all = pairs.iter().flat_map(|(key, word)| {
            [
                Span::styled(format!(" {key} "), theme.bold(Color::Cyan)),
                Span::styled(format!("{word} "), faint()),
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
