//! One row of the tree: mark, indentation, arrow, name, and the beginning of its value.

use std::time::Duration;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::theme::{Theme, faint};
use super::window::window;
use crate::cli::tree::escape;
use crate::cli::tree::model::{FADE, View};
use crate::cli::tree::nodes::{Change, Holds, NodeId, TOP};
use crate::cli::tree::search::contains;

/// How faded a mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    Recent,
    Fading,
}

fn age(at: Duration, now: Duration) -> Option<Age> {
    let age = now.saturating_sub(at);
    if age >= FADE {
        None
    } else if age >= FADE / 2 {
        Some(Age::Fading)
    } else if age >= FADE / 6 {
        Some(Age::Recent)
    } else {
        Some(Age::Fresh)
    }
}

/// The column of a row's arrow if the tree is scrolled this many columns to the left.
pub(in crate::cli::tree) fn arrow_at(depth: usize, shift: usize) -> usize {
    2 + (2 * depth).saturating_sub(shift)
}

pub(super) fn line(view: &View, id: NodeId, depth: usize, width: u16, theme: Theme) -> Line<'static> {
    let node = view.nodes.node(id);
    let (sign, marked) = mark(view, id, theme);
    let arrow = match (node.children(), node.open) {
        (0, _) => "  ",
        (_, true) => "▾ ",
        (_, false) => "▸ ",
    };
    let (indent, shift, room) = (2 * depth, view.shift(), usize::from(width).saturating_sub(2));
    // Enough of it to show that it is cut.
    let enough = room + shift + 1;
    let name = if id == TOP {
        escape::one_line(view.key.as_str(), enough)
    } else {
        escape::name(node.name(), enough)
    };
    let mut style = if node.children() > 0 { theme.bold(Color::Blue) } else { Style::new() };
    if let (Some((Change::Altered | Change::Added, _)), Some(marked)) = (node.changed, marked) {
        style = style.patch(marked);
    }
    if node.holds == Holds::Gone {
        style = style.patch(theme.colour(Color::Red)).add_modifier(Modifier::CROSSED_OUT);
    }
    let searched = &view.search.text;
    if contains(node.name(), &searched.to_lowercase()) {
        style = style.patch(theme.colour(Color::Yellow)).add_modifier(Modifier::UNDERLINED);
    }
    let mut spans = vec![
        Span::raw(" ".repeat(indent.saturating_sub(shift).min(room))),
        Span::styled(arrow, faint()),
        Span::styled(name, style),
    ];
    if node.children() > 0 && !node.open {
        spans.push(Span::styled(format!(" ({})", node.children()), faint()));
    }
    match &node.holds {
        Holds::Value(value) => {
            let glimpse = escape::glimpse(value, enough);
            let style = marked.filter(|_| node.changed.is_some()).unwrap_or_else(faint);
            spans.push(Span::styled(" = ", faint()));
            spans.push(Span::styled(glimpse, style));
        }
        Holds::Gone => spans.push(Span::styled(" (deleted)", faint())),
        Holds::Prefix | Holds::NoValue => {}
    }
    // The mark does not scroll.
    let mut line = Line::from(vec![Span::styled(sign, marked.unwrap_or_default()), Span::raw(" ")]);
    line.extend(window(&Line::from(spans), shift.saturating_sub(indent), room).spans);
    line
}

/// The sign before a row, and its style while it fades.
fn mark(view: &View, id: NodeId, theme: Theme) -> (&'static str, Option<Style>) {
    let node = view.nodes.node(id);
    let own = node.changed.and_then(|(change, at)| Some((change, age(at, view.now)?)));
    let (fresh, faded, colour, age) = match own {
        Some((Change::Added, age)) => ("+", "+", Color::Green, age),
        Some((Change::Altered, age)) => ("●", "•", Color::Yellow, age),
        Some((Change::Removed, age)) => ("-", "-", Color::Red, age),
        None => {
            let hides = !node.open && node.children() > 0;
            let stirred = node.stirred.filter(|_| hides).and_then(|at| age(at, view.now));
            let Some(age) = stirred else { return (" ", None) };
            ("◆", "◇", Color::Yellow, age)
        }
    };
    match age {
        Age::Fresh => (fresh, Some(theme.bold(colour))),
        Age::Recent => (fresh, Some(theme.colour(colour))),
        Age::Fading => (faded, Some(theme.colour(colour).add_modifier(Modifier::DIM))),
    }
}
