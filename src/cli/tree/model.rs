//! The state of the view: the shown subtree, the selection, recent changes. Pure: inputs and the time are arguments;
//! drawing happens elsewhere.

mod steps;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::help;
use super::keys::Act;
use super::layout::{Areas, areas};
use super::nodes::{Change, Holds, NodeId, Nodes, TOP};
use super::search::Search;
use super::value::{Lines, Mode, lay_out};
use super::wrap::words;
use crate::tree::{Scope, Snapshot};
use crate::watch::{Key, Spelling, Version};

/// How long a change stays marked.
pub(super) const FADE: Duration = Duration::from_secs(6);

/// Most rows for a problem.
pub(super) const TROUBLE: usize = 3;

/// How current the view is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The store has not been reached yet.
    Connecting,
    /// The view is current.
    Connected,
    /// It is connected, but refuses this subtree: the view shows the last state, and this is the reason.
    Refused(String),
    /// It is not connected: the view shows the last state.
    Lost {
        /// The reason.
        why: String,
        /// The time since when.
        since: String,
    },
}

/// The store's answer about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The question that it answers.
    pub question: Question,
    /// Its version, or why it is unknown. `None`: the key does not exist.
    pub version: Result<Option<Version>, String>,
    /// How long ago it was written, if the store records that.
    pub written: Option<Duration>,
}

/// A key whose version the view needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The key.
    pub key: Key,
    /// When it was last seen to change.
    pub(super) changed: Option<Duration>,
}

/// An input of the view.
#[derive(Debug, Clone)]
pub enum Input {
    /// The new state of the subtree.
    Shown(Snapshot),
    /// The new state of the connection.
    Link(Link),
    /// An answer to [`View::question`].
    Told(Told),
    /// The screen has this many columns and rows.
    Size(u16, u16),
    /// A key was typed.
    Typed(crossterm::event::KeyEvent),
    /// The mouse was used.
    Mouse(crossterm::event::MouseEvent),
}

/// What the view cannot do itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Suspend, as with Ctrl-Z.
    Suspend,
    /// Redraw everything: another program has written on the screen.
    Redraw,
}

/// The pane that has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Tree,
    Value,
}

/// The state of the view.
#[derive(Debug)]
pub struct View {
    pub(super) key: Key,
    /// The store, for the header.
    pub(super) store: String,
    pub(super) nodes: Nodes,
    snapshot: Option<Snapshot>,
    /// When the subtree was first read.
    pub(super) read_at: Duration,
    /// Whether to expand or collapse everything once it is read: this was requested earlier.
    pub(super) awaited: Option<bool>,
    pub(super) link: Link,
    /// The visible rows, in order, with their depth.
    pub(super) rows: Vec<(NodeId, usize)>,
    /// The index of the selected row.
    pub(super) row: usize,
    /// The index of the first row on the screen.
    pub(super) first: usize,
    pub(super) focus: Pane,
    pub(super) with_value: bool,
    pub(super) mode: Mode,
    pub(super) search: Search,
    /// The first line of the help on the screen, while it is shown.
    pub(super) help: Option<usize>,
    size: (u16, u16),
    told: Option<(Told, Duration)>,
    /// Marks that are still shown, the oldest first.
    marked: BTreeSet<(Duration, NodeId)>,
    /// The selected value laid out, with its parameters.
    pub(super) lines: Lines,
    laid: Option<(Option<Bytes>, Mode, u16)>,
    /// The first line of the value on the screen.
    pub(super) line: usize,
    /// The time of the last input.
    pub(super) now: Duration,
}

impl View {
    /// Nothing is known of the key yet.
    pub fn new(key: Key, store: String, size: (u16, u16)) -> Self {
        Self {
            key,
            store,
            nodes: Nodes::new(),
            snapshot: None,
            read_at: Duration::ZERO,
            awaited: None,
            link: Link::Connecting,
            rows: vec![(TOP, 0)],
            row: 0,
            first: 0,
            focus: Pane::Tree,
            with_value: true,
            mode: Mode::Text,
            search: Search::default(),
            help: None,
            size,
            told: None,
            marked: BTreeSet::new(),
            lines: Lines::default(),
            laid: None,
            line: 0,
            now: Duration::ZERO,
        }
    }

    /// Handles an input. `now` is the time since the view started, and never goes back.
    pub fn handle(&mut self, now: Duration, input: Input) -> Option<Effect> {
        self.tick(now);
        let effect = match input {
            Input::Shown(snapshot) => {
                self.show(snapshot);
                None
            }
            Input::Link(link) => {
                self.link = link;
                None
            }
            Input::Told(told) => {
                self.told = Some((told, now));
                None
            }
            Input::Size(width, height) => {
                self.size = (width, height);
                None
            }
            Input::Typed(event) => super::keys::act(event, self.search.typing).and_then(|act| self.act(act)),
            Input::Mouse(event) => {
                self.mouse(event);
                None
            }
        };
        self.fit();
        effect
    }

    /// Lets time pass: marks fade, and deleted keys disappear.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        let mut pruned = false;
        while let Some((at, id)) = self.marked.first().copied().filter(|(at, _)| *at + FADE <= now) {
            self.marked.remove(&(at, id));
            if self.nodes.node(id).holds == Holds::Gone {
                pruned |= self.forget(id);
            }
        }
        if pruned {
            self.list();
            self.fit();
        }
    }

    /// How long the screen stays valid without inputs: marks fade, ages are shown in seconds, and reading shows progress.
    pub fn lasts(&self) -> Duration {
        Duration::from_millis(if self.marked.is_empty() && self.loaded() { 1000 } else { 250 })
    }

    /// Whether the subtree was read.
    pub fn loaded(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Expands all nodes at and below the top, as the `*` key does.
    pub fn open_all(&mut self) {
        self.act(Act::Home);
        self.act(Act::OpenBelow);
        self.fit();
    }

    /// The key whose version must be requested next, if it is unknown.
    pub fn question(&self) -> Option<Question> {
        let node = self.nodes.node(self.selected());
        let asked = match node.holds {
            Holds::Prefix | Holds::Gone => false,
            Holds::NoValue | Holds::Value(_) => match self.link {
                Link::Connected | Link::Refused(_) => true,
                Link::Connecting | Link::Lost { .. } => false,
            },
        };
        let question = Question {
            key: Key::new(&self.full(self.selected())).ok().filter(|_| asked)?,
            changed: node.changed.map(|(_, at)| at),
        };
        let known = self.told.as_ref().is_some_and(|(told, at)| {
            let lasting = told.version.is_ok() || *at + Duration::from_secs(5) > self.now;
            told.question == question && lasting
        });
        (!known).then_some(question)
    }

    /// The store's last answer about the selected key, and its time.
    pub(super) fn told(&self) -> Option<&(Told, Duration)> {
        let key = self.full(self.selected());
        self.told.as_ref().filter(|(told, _)| told.question.key.as_str() == key)
    }

    pub(super) fn selected(&self) -> NodeId {
        self.rows.get(self.row).map_or(TOP, |(id, _)| *id)
    }

    /// The key of a node in its store.
    pub(super) fn full(&self, id: NodeId) -> String {
        if id == TOP {
            return self.key.to_string();
        }
        let mut key = format!("{}{}", self.key.base(), self.nodes.suffix(id));
        match self.nodes.spelling(id) {
            Spelling::Slashed => key,
            Spelling::Plain => key.split_off(1),
        }
    }

    pub(super) fn areas(&self) -> Areas {
        let width = usize::from(self.size.0).saturating_sub(2).max(1);
        let trouble = self.trouble().map_or(0, |why| words(&why, width).len().min(TROUBLE));
        areas(self.size, self.with_value, u16::try_from(trouble).unwrap_or(0))
    }

    /// Why the view may not be current.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.link {
            Link::Connecting | Link::Connected => None,
            Link::Refused(why) => Some(format!("cannot read {}: {why}", self.key)),
            Link::Lost { why, .. } => Some(why.clone()),
        }
    }

    /// How many columns the tree is scrolled to the left, so that the selection begins in its left half.
    pub(super) fn shift(&self) -> usize {
        let depth = self.rows.get(self.row).map_or(0, |(_, depth)| *depth);
        (2 * depth).saturating_sub(usize::from(self.areas().tree.width) / 2)
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.entries().len())
    }

    pub(super) fn value(&self) -> Option<&Bytes> {
        match &self.nodes.node(self.selected()).holds {
            Holds::Value(value) => Some(value),
            Holds::Prefix | Holds::NoValue | Holds::Gone => None,
        }
    }

    fn show(&mut self, snapshot: Snapshot) {
        let first = self.snapshot.is_none();
        let before = self.snapshot.take().unwrap_or_else(|| Snapshot::empty(self.key.clone()));
        let mut other_rows = first;
        for difference in before.differences(&snapshot, "", Scope::Below) {
            let change = match (&difference.before, &difference.after) {
                (None, _) => Change::Added,
                (Some(_), Some(_)) => Change::Altered,
                (Some(_), None) => Change::Removed,
            };
            let (id, made) = self.nodes.reach(&difference.path);
            other_rows |= made;
            // A deleted key keeps its spelling.
            if let Some(spelling) = snapshot.entries().spelling(&difference.path) {
                self.nodes.node_mut(id).spelling = spelling;
            }
            self.nodes.node_mut(id).holds = match difference.after {
                Some(Some(value)) => Holds::Value(value),
                Some(None) => Holds::NoValue,
                None => Holds::Gone,
            };
            // Keys that exist at the beginning are not new.
            if !first {
                self.mark(id, change);
            }
        }
        self.snapshot = Some(snapshot);
        if first {
            self.read_at = self.now;
            self.open_what_fits();
        }
        if other_rows {
            self.list();
        }
        if first {
            self.do_awaited();
        }
    }

    fn mark(&mut self, id: NodeId, change: Change) {
        let now = self.now;
        let node = self.nodes.node_mut(id);
        let before = node.changed.replace((change, now));
        if let Some((_, at)) = before {
            self.marked.remove(&(at, id));
        }
        self.marked.insert((now, id));
        let mut above = self.nodes.above(id);
        while let Some(id) = above {
            let node = self.nodes.node_mut(id);
            if node.stirred == Some(now) {
                break;
            }
            node.stirred = Some(now);
            above = self.nodes.above(id);
        }
    }

    /// Removes a deleted node. Returns whether that changes the rows.
    fn forget(&mut self, id: NodeId) -> bool {
        self.nodes.node_mut(id).holds = Holds::Prefix;
        // The search now begins here.
        self.search.from = None;
        self.search.opened.clear();
        let selected = self.selected();
        let stays = self.nodes.prune(id);
        if stays != id && !self.nodes.is_there(selected) {
            // The selection moves to the nearest remaining row.
            let rows = self.rows.len();
            let nearest = (self.row..rows).chain((0..self.row).rev());
            let there = nearest.map(|row| (row, self.rows[row].0)).find(|(_, id)| self.nodes.is_there(*id));
            self.row = there.map_or(0, |(row, _)| row);
        }
        stays != id
    }

    /// Expands level after level while everything fits on one screen.
    fn open_what_fits(&mut self) {
        let room = usize::from(self.areas().tree.height);
        let mut levels: Vec<usize> = Vec::new();
        for (_, depth) in self.nodes.walk(true) {
            if depth >= levels.len() {
                levels.resize(depth + 1, 0);
            }
            levels[depth] += 1;
        }
        let mut rows = 0;
        let fit = levels.iter().take_while(|count| {
            rows += **count;
            rows <= room
        });
        // The first level is expanded even if it does not fit: a single key says nothing.
        let open = fit.count().max(2) - 1;
        let ids: Vec<NodeId> =
            self.nodes.walk(true).filter(|(_, depth)| *depth < open).map(|(id, _)| id).collect();
        for id in ids {
            self.nodes.node_mut(id).open = true;
        }
    }

    /// Rebuilds the list of rows. The selection keeps its node and its position on the screen.
    fn list(&mut self) {
        let selected = self.selected();
        let before = self.row;
        self.rows.clear();
        self.rows.extend(self.nodes.walk(false));
        let mut wanted = Some(selected);
        // If it is hidden now, the node that hides it is selected.
        while let Some(id) = wanted {
            if let Some(row) = self.rows.iter().position(|(other, _)| *other == id) {
                self.row = row;
                break;
            }
            wanted = self.nodes.above(id);
        }
        self.row = self.row.min(self.rows.len() - 1);
        self.first = (self.first + self.row).saturating_sub(before);
    }

    /// Scrolls to the selected row, and lays out its value.
    fn fit(&mut self) {
        self.help = self.help.map(|line| line.min(help::last(self.size)));
        let areas = self.areas();
        let height = usize::from(areas.tree.height).max(1);
        self.first = self.first.min(self.row).max((self.row + 1).saturating_sub(height));
        self.first = self.first.min(self.rows.len().saturating_sub(height));
        let Some(areas) = areas.value else {
            self.focus = Pane::Tree;
            return;
        };
        let wanted = (self.value().cloned(), self.mode, areas.text.width);
        if self.laid.as_ref() != Some(&wanted) {
            let (value, mode, width) = &wanted;
            self.lines = value
                .as_ref()
                .map_or_else(Lines::default, |value| lay_out(value, *mode, usize::from(*width).max(1)));
            self.laid = Some(wanted);
        }
        let last = self.lines.lines.len().saturating_sub(usize::from(areas.text.height).max(1));
        self.line = self.line.min(last);
    }
}
