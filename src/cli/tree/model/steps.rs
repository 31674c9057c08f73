//! The effects of keys and the mouse on the view.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{Effect, Pane, View};
use crate::cli::tree::draw;
use crate::cli::tree::keys::Act;
use crate::cli::tree::nodes::{NodeId, TOP};
use crate::cli::tree::search::{Direction, Search, find, without_last_word};

/// Rows that one step of the wheel moves.
const WHEEL: usize = 3;
/// Lines of the help in one page: half of what the lowest common screen shows.
const HELP_PAGE: usize = 8;

impl View {
    pub(super) fn act(&mut self, act: Act) -> Option<Effect> {
        if let Some(line) = self.help.filter(|_| !matches!(act, Act::Quit | Act::Suspend | Act::Redraw)) {
            self.help = read_on(act, line);
            return None;
        }
        match act {
            Act::Up => self.step(|at, _, _| at.saturating_sub(1)),
            Act::Down => self.step(|at, _, _| at + 1),
            Act::PageUp => self.step(|at, page, _| at.saturating_sub(page)),
            Act::PageDown => self.step(|at, page, _| at + page),
            Act::Home => self.step(|_, _, _| 0),
            Act::End => self.step(|_, _, all| all),
            Act::Left => self.left(),
            Act::Right => self.right(),
            Act::Toggle => self.toggle(),
            Act::OpenBelow | Act::CloseBelow if !self.loaded() => self.awaited = Some(act == Act::OpenBelow),
            Act::OpenBelow => self.set_below(true),
            Act::CloseBelow => self.set_below(false),
            Act::SwitchPane => self.switch_pane(),
            Act::ShowValue => self.with_value = !self.with_value,
            Act::NextMode => self.mode = self.mode.next(),
            Act::Mode(mode) => self.mode = mode,
            Act::Search => {
                self.focus = Pane::Tree;
                let from = Some(self.selected());
                self.search = Search { typing: true, from, first: self.first, ..Search::default() };
            }
            Act::Next => self.search(Direction::Next),
            Act::Previous => self.search(Direction::Previous),
            Act::Type(character) => {
                self.search.text.push(character);
                self.search(Direction::Here);
            }
            Act::Erase if self.search.text.is_empty() => return self.act(Act::Cancel),
            Act::Erase => {
                self.search.text.pop();
                self.search(Direction::Here);
            }
            Act::EraseWord => {
                let left = without_last_word(&self.search.text).len();
                self.search.text.truncate(left);
                self.search(Direction::Here);
            }
            Act::EraseAll => {
                self.search.text.clear();
                self.search(Direction::Here);
            }
            Act::Accept => {
                self.search.typing = false;
                self.search.opened.clear();
            }
            Act::Cancel => {
                if self.search.typing {
                    self.go_back();
                }
                self.search = Search::default();
            }
            Act::Help => self.help = Some(0),
            Act::Suspend => return Some(Effect::Suspend),
            Act::Redraw => return Some(Effect::Redraw),
            Act::Quit => return Some(Effect::Quit),
        }
        None
    }

    pub(super) fn mouse(&mut self, event: MouseEvent) {
        let at = Position::new(event.column, event.row);
        let areas = self.areas();
        let over_value = areas.value.is_some_and(|value| value.whole.contains(at));
        #[expect(clippy::wildcard_enum_match_arm, reason = "moves and releases have no meaning here")]
        match event.kind {
            MouseEventKind::Down(_) if self.help.is_some() => self.help = None,
            MouseEventKind::ScrollUp if self.help.is_some() => {
                self.help = self.help.map(|line| line.saturating_sub(WHEEL));
            }
            MouseEventKind::ScrollDown if self.help.is_some() => {
                self.help = self.help.map(|line| line + WHEEL);
            }
            _ if self.help.is_some() => {}
            MouseEventKind::ScrollUp if over_value => self.line = self.line.saturating_sub(WHEEL),
            MouseEventKind::ScrollDown if over_value => self.line += WHEEL,
            MouseEventKind::ScrollUp => self.scroll(self.first.saturating_sub(WHEEL)),
            MouseEventKind::ScrollDown => self.scroll(self.first + WHEEL),
            MouseEventKind::Down(MouseButton::Left) if over_value => {
                self.focus = Pane::Value;
                if let Some(mode) = draw::mode_at(self, at) {
                    self.mode = mode;
                }
            }
            MouseEventKind::Down(MouseButton::Left) if areas.tree.contains(at) => {
                self.focus = Pane::Tree;
                let row = self.first + usize::from(at.y - areas.tree.y);
                let Some((_, depth)) = self.rows.get(row) else { return };
                let on_arrow = usize::from(at.x - areas.tree.x) <= draw::arrow_at(*depth, self.shift()) + 1;
                if on_arrow || row == self.row {
                    self.select(row);
                    self.toggle();
                } else {
                    self.select(row);
                }
            }
            _ => {}
        }
    }

    /// Moves in the focused pane: by a row, by a page, or to the end.
    fn step(&mut self, to: impl Fn(usize, usize, usize) -> usize) {
        let areas = self.areas();
        match (self.focus, areas.value) {
            (Pane::Value, Some(value)) => {
                let page = usize::from(value.text.height).max(1);
                // A position beyond the end is corrected when it is fitted to the screen.
                self.line = to(self.line, page, self.lines.lines.len());
            }
            (Pane::Tree, _) | (Pane::Value, None) => {
                let page = usize::from(areas.tree.height).max(1);
                let last = self.rows.len() - 1;
                self.select(to(self.row, page, last).min(last));
            }
        }
    }

    fn select(&mut self, row: usize) {
        if row != self.row {
            self.row = row;
            self.line = 0;
        }
    }

    /// Scrolls the tree; the selection moves along if it would leave the screen.
    fn scroll(&mut self, first: usize) {
        let height = usize::from(self.areas().tree.height).max(1);
        self.first = first.min(self.rows.len().saturating_sub(height));
        let last = (self.first + height - 1).min(self.rows.len() - 1);
        self.select(self.row.clamp(self.first, last));
    }

    fn left(&mut self) {
        let id = self.selected();
        if self.focus == Pane::Value {
            self.focus = Pane::Tree;
        } else if self.nodes.node(id).open && self.nodes.node(id).children() > 0 {
            self.toggle();
        } else if let Some(above) = self.nodes.above(id) {
            self.reveal(above);
        }
    }

    fn right(&mut self) {
        let id = self.selected();
        let node = self.nodes.node(id);
        if self.focus == Pane::Value {
        } else if node.children() == 0 {
            self.switch_pane();
        } else if node.open {
            self.select(self.row + 1);
        } else {
            self.toggle();
        }
    }

    fn toggle(&mut self) {
        let id = self.selected();
        let node = self.nodes.node_mut(id);
        if self.focus == Pane::Tree && node.children() > 0 {
            node.open = !node.open;
            self.list();
        }
    }

    fn set_below(&mut self, open: bool) {
        let top = self.selected();
        let mut waiting: Vec<NodeId> = vec![top];
        while let Some(id) = waiting.pop() {
            self.nodes.node_mut(id).open = open;
            waiting.extend(self.nodes.below(id));
        }
        self.list();
    }

    fn switch_pane(&mut self) {
        self.focus = match self.focus {
            Pane::Tree if self.areas().value.is_some() => Pane::Value,
            Pane::Tree | Pane::Value => Pane::Tree,
        };
    }

    /// Carries out what was requested before anything was read.
    pub(super) fn do_awaited(&mut self) {
        if let Some(open) = self.awaited.take() {
            self.set_below(open);
        }
        if !self.search.text.is_empty() {
            self.search(Direction::Here);
        }
    }

    /// Returns to where the search began, and closes what it opened.
    fn go_back(&mut self) {
        self.close_searched();
        if let Some(from) = self.search.from {
            self.reveal(from);
            self.first = self.search.first;
        } else {
            self.list();
        }
    }

    fn close_searched(&mut self) {
        for id in std::mem::take(&mut self.search.opened) {
            self.nodes.node_mut(id).open = false;
        }
    }

    fn search(&mut self, direction: Direction) {
        if self.search.text.is_empty() {
            self.search.found = None;
            if self.search.typing {
                self.go_back();
            }
            return;
        }
        let from = match (direction, self.search.from) {
            (Direction::Here, Some(from)) => from,
            (Direction::Here | Direction::Next | Direction::Previous, _) => self.selected(),
        };
        let found = find(&self.nodes, self.key.base(), &self.search.text, from, direction);
        self.search.found = found.map(|(_, at, of)| (at, of));
        if let Some((id, _, _)) = found {
            self.close_searched();
            let opened = self.reveal(id);
            if self.search.typing {
                self.search.opened = opened;
            }
        }
    }

    /// Selects a node and expands its parents. Returns those that were closed.
    fn reveal(&mut self, id: NodeId) -> Vec<NodeId> {
        let mut opened = Vec::new();
        let mut above = self.nodes.above(id);
        while let Some(id) = above {
            let node = self.nodes.node_mut(id);
            if !node.open {
                node.open = true;
                opened.push(id);
            }
            above = self.nodes.above(id);
        }
        self.list();
        let row = self.rows.iter().position(|(other, _)| *other == id);
        debug_assert!(row.is_some() || id == TOP);
        self.select(row.unwrap_or(self.row));
        opened
    }
}

/// The first line of the help after a key, or `None`: it is closed.
fn read_on(act: Act, line: usize) -> Option<usize> {
    // A position beyond the end is corrected when it is fitted to the screen.
    match act {
        Act::Up => Some(line.saturating_sub(1)),
        Act::Down => Some(line + 1),
        Act::PageUp => Some(line.saturating_sub(HELP_PAGE)),
        Act::PageDown => Some(line + HELP_PAGE),
        Act::Home => Some(0),
        Act::End => Some(usize::MAX),
        Act::Left
        | Act::Right
        | Act::Toggle
        | Act::OpenBelow
        | Act::CloseBelow
        | Act::SwitchPane
        | Act::ShowValue
        | Act::NextMode
        | Act::Mode(_)
        | Act::Search
        | Act::Next
        | Act::Previous
        | Act::Type(_)
        | Act::Erase
        | Act::EraseWord
        | Act::EraseAll
        | Act::Accept
        | Act::Cancel
        | Act::Help
        | Act::Suspend
        | Act::Redraw
        | Act::Quit => None,
    }
}
