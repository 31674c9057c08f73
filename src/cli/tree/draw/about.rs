//! The facts above the value: key, version, size and age, and the display modes.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};
use unicode_width::UnicodeWidthStr;

use super::theme::{Theme, faint};
use super::window::window;
use crate::cli::span::span;
use crate::cli::tree::escape::{bytes, one_line};
use crate::cli::tree::layout::ValueAreas;
use crate::cli::tree::model::{Pane, View};
use crate::cli::tree::nodes::{Change, Holds};
use crate::cli::tree::value::Mode;
use crate::watch::{ContentHash, Version};

/// The positions of the display modes' names.
pub(super) fn tabs(areas: &ValueAreas) -> [(Mode, Rect); 3] {
    let about = areas.about;
    let y = about.y + about.height.min(4).saturating_sub(1);
    let mut x = about.x;
    Mode::ALL.map(|mode| {
        let width = u16::try_from(mode.word().len()).unwrap_or(0);
        let area = Rect::new(x, y, width, u16::from(about.height > 0)).intersection(about);
        x += width + if areas.beside { 2 } else { 1 };
        (mode, area)
    })
}

/// Draws it, and the edge of the pane.
pub(super) fn draw(buffer: &mut Buffer, areas: &ValueAreas, screen: Rect, view: &View, theme: Theme) {
    let focus = view.focus == Pane::Value;
    let edge = if focus { theme.colour(Color::Cyan) } else { faint() };
    let key = one_line(&view.full(view.selected()), usize::from(areas.whole.width).saturating_sub(4));
    let key = Span::styled(key, theme.bold(Color::Cyan));
    let block = Block::new().border_style(edge);
    let block = if areas.beside {
        block.borders(Borders::LEFT)
    } else {
        block.borders(Borders::TOP).title(Line::from(vec![Span::raw(" "), key.clone(), Span::raw(" ")]))
    };
    block.render(areas.whole.intersection(screen), buffer);
    let about = areas.about.intersection(screen);
    let chosen = |mode| {
        if mode == view.mode { theme.bold(Color::Cyan).add_modifier(Modifier::UNDERLINED) } else { faint() }
    };
    for (mode, area) in tabs(areas) {
        let area = area.intersection(screen);
        if !area.is_empty() {
            buffer.set_stringn(area.x, area.y, mode.word(), usize::from(area.width), chosen(mode));
        }
    }
    if areas.beside {
        let faint = |text: Option<String>| Line::styled(text.unwrap_or_default(), faint());
        let (version, rest) = (version(view, true), rest(view).join(" · "));
        let lines = [Line::from(key), faint(version), faint(Some(rest))];
        for (y, line) in (about.y..about.bottom()).zip(&lines) {
            let line = window(line, 0, usize::from(about.width));
            buffer.set_line(about.x, y, &line, about.width);
        }
    } else if let Some(last) = tabs(areas).last().filter(|_| !about.is_empty()) {
        let x = last.1.right() + 2;
        let room = about.right().saturating_sub(x);
        let facts: Vec<String> = version(view, false).into_iter().chain(rest(view)).collect();
        // As many as fit; a wider screen shows the rest.
        let mut shown = String::new();
        for fact in facts {
            let more = if shown.is_empty() { fact } else { format!("{shown} · {fact}") };
            if shown.is_empty() || more.width() <= usize::from(room) {
                shown = more;
            }
        }
        let facts = Line::styled(shown, faint());
        buffer.set_line(x, about.y, &window(&facts, 0, usize::from(room)), room);
    }
}

/// The version of the selected key, or why there is none.
fn version(view: &View, room: bool) -> Option<String> {
    match (&view.nodes.node(view.selected()).holds, view.told()) {
        (Holds::Prefix, _) => view.loaded().then(|| "no key of its own".to_owned()),
        (Holds::Gone, _) | (Holds::NoValue | Holds::Value(_), None) => None,
        (Holds::NoValue | Holds::Value(_), Some((told, _))) => match &told.version {
            Ok(Some(version)) => short(*version, room),
            Ok(None) => None,
            Err(_) => Some("version not known".to_owned()),
        },
    }
}

/// Further facts, the most important first.
fn rest(view: &View) -> Vec<String> {
    let size = match &view.nodes.node(view.selected()).holds {
        Holds::Value(value) => Some(bytes(value.len())),
        Holds::NoValue => Some("no value".to_owned()),
        Holds::Prefix | Holds::Gone => None,
    };
    age(view).into_iter().chain(size).collect()
}

/// A hash is cut if there is no room; a directory has none.
fn short(version: Version, room: bool) -> Option<String> {
    let text = version.to_string();
    match (version, room) {
        (Version::Hash(ContentHash::ZERO), _) => None,
        (Version::Hash(_), false) => Some(format!("v {}", &text[..8])),
        (Version::Revision(_), false) => Some(format!("v {text}")),
        (Version::Hash(_) | Version::Revision(_), true) => Some(format!("version {text}")),
    }
}

/// The age of the key's state: as observed here, else as the store reports.
fn age(view: &View) -> Option<String> {
    let node = view.nodes.node(view.selected());
    if let Some((change, at)) = node.changed {
        let word = match change {
            Change::Added => "added",
            Change::Altered => "changed",
            Change::Removed => "deleted",
        };
        return Some(format!("{word} {}", ago(view.now.saturating_sub(at))));
    }
    let (told, at) = view.told()?;
    if let Some(written) = told.written {
        return Some(format!("written {}", ago(written + view.now.saturating_sub(*at))));
    }
    // The store records no time: it is at least as old as it was seen unchanged.
    let seen = view.now.saturating_sub(view.read_at).as_secs();
    (seen > 0 && told.version != Ok(None)).then(|| format!("over {} old", span_of(seen)))
}

fn ago(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".to_owned(),
        seconds => format!("{} ago", span_of(seconds)),
    }
}

fn span_of(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        _ => span(Duration::from_secs(seconds).as_secs_f64()),
    }
}
