//! The effects of keys, changes and time on the view.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use proptest::prelude::*;

use super::*;
use crate::watch::{Content, Seq, State};

/// A subtree of paths and values.
pub(in crate::cli::tree) fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
    let entries = pairs.iter().map(|(path, value)| (path, Some(value)));
    let content = Content::Tree(entries.collect());
    let state = State { seq: Seq(1), version: Version::Revision(7), content };
    Snapshot::of(Key::new("/top").unwrap(), &state)
}

pub(in crate::cli::tree) fn view(size: (u16, u16), pairs: &[(&str, &str)]) -> View {
    let mut view = View::new(Key::new("/top").unwrap(), "etcd://localhost:2379".to_owned(), size);
    view.handle(Duration::ZERO, Input::Link(Link::Connected));
    view.handle(Duration::ZERO, Input::Shown(snapshot(pairs)));
    view
}

pub(in crate::cli::tree) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Types each character; the marked ones stand for keys without a character.
pub(in crate::cli::tree) fn keys(view: &mut View, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for key in keys.chars() {
        let code = match key {
            '↓' => KeyCode::Down,
            '⏎' => KeyCode::Enter,
            '⇥' => KeyCode::Tab,
            '⎋' => KeyCode::Esc,
            '⌫' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        effect = view.handle(view.now, Input::Typed(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    effect
}

fn mouse(view: &mut View, kind: MouseEventKind, column: u16, row: u16) {
    let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    view.handle(view.now, Input::Mouse(event));
}

fn shown(view: &View) -> Vec<String> {
    view.rows.iter().map(|(id, _)| view.nodes.suffix(*id)).collect()
}

fn selected(view: &View) -> String {
    view.nodes.suffix(view.selected())
}

const SAMPLE: [(&str, &str); 5] = [("a/x", "1"), ("a/y", "2"), ("b", "3"), ("c/d/e", "4"), ("c/d/f", "5")];

#[test]
fn what_fits_is_open_and_nodes_open_and_close() {
    let mut view = view((100, 8), &SAMPLE);
    // Three levels have seven rows, and there is room for six.
    assert_eq!(shown(&view), ["", "/a", "/b", "/c"]);
    keys(&mut view, "jl");
    assert_eq!(shown(&view), ["", "/a", "/a/x", "/a/y", "/b", "/c"]);
    keys(&mut view, "l");
    assert_eq!(selected(&view), "/a/x");
    keys(&mut view, "h");
    assert_eq!(selected(&view), "/a");
    keys(&mut view, "h");
    assert_eq!(shown(&view), ["", "/a", "/b", "/c"]);
    keys(&mut view, "G*");
    assert_eq!(shown(&view), ["", "/a", "/b", "/c", "/c/d", "/c/d/e", "/c/d/f"]);
    keys(&mut view, "g-⏎");
    assert_eq!(shown(&view), ["", "/a", "/b", "/c"]);
    view.open_all();
    assert_eq!(view.rows.len(), 9);
    keys(&mut view, "Gh");
    assert_eq!(selected(&view), "/c/d");
}

#[test]
fn a_search_goes_through_closed_nodes_and_back_when_given_up() {
    let mut view = view((100, 8), &SAMPLE);
    keys(&mut view, "jj/e");
    assert_eq!((selected(&view).as_str(), view.search.found), ("/c/d/e", Some((1, 1))));
    keys(&mut view, "⎋");
    assert_eq!(selected(&view), "/b");
    keys(&mut view, "/c/d⏎");
    assert_eq!((selected(&view).as_str(), view.search.found), ("/c/d", Some((1, 1))));
    keys(&mut view, "/z");
    assert_eq!(view.search.found, None);
    keys(&mut view, "⌫y⏎");
    assert_eq!((selected(&view).as_str(), view.search.found), ("/a/y", Some((1, 1))));
    keys(&mut view, "nN");
    assert_eq!(selected(&view), "/a/y");
    assert_eq!(keys(&mut view, "/q"), None);
    assert_eq!(keys(&mut view, "⎋q"), Some(Effect::Quit));
}

#[test]
fn an_erased_search_is_as_if_it_had_not_been() {
    let mut view = view((100, 6), &SAMPLE);
    keys(&mut view, "jj");
    let before = (shown(&view), selected(&view), view.first);
    for erase in ["⌫", "⌫⌫", "ab⎋"] {
        keys(&mut view, "/e");
        assert_eq!(selected(&view), "/c/d/e");
        keys(&mut view, erase);
        assert_eq!((shown(&view), selected(&view), view.first), before, "{erase}");
        assert_eq!(view.search.typing, erase == "⌫");
        keys(&mut view, "⎋");
    }
    // A search result that was accepted stays expanded.
    keys(&mut view, "/e⏎⎋");
    assert_eq!(selected(&view), "/c/d/e");
}

#[test]
fn what_is_asked_for_before_it_is_read_is_done_then() {
    let new = || View::new(Key::new("/top").unwrap(), "store".to_owned(), (100, 6));
    let mut view = new();
    keys(&mut view, "*");
    view.handle(seconds(1), Input::Shown(snapshot(&SAMPLE)));
    assert_eq!(view.rows.len(), 9);
    let mut view = new();
    keys(&mut view, "/f⏎");
    view.handle(seconds(1), Input::Shown(snapshot(&SAMPLE)));
    assert_eq!((selected(&view).as_str(), view.search.found), ("/c/d/f", Some((1, 1))));
}

#[test]
fn changes_are_marked_for_their_time_and_the_deleted_goes_then() {
    let mut view = view((100, 30), &SAMPLE);
    assert!(view.marked.is_empty() && view.lasts() == seconds(1));
    view.handle(seconds(10), Input::Shown(snapshot(&[("a/x", "new"), ("b", "3"), ("z", "0")])));
    let marks = |view: &View| {
        let all = view.nodes.walk(true).filter_map(|(id, _)| {
            let (change, at) = view.nodes.node(id).changed?;
            Some((view.nodes.suffix(id), change, at))
        });
        all.collect::<Vec<_>>()
    };
    let mark = |suffix: &str, change| (suffix.to_owned(), change, seconds(10));
    let (added, altered, removed) = (Change::Added, Change::Altered, Change::Removed);
    let expected =
        [("/a/x", altered), ("/a/y", removed), ("/c/d/e", removed), ("/c/d/f", removed), ("/z", added)];
    assert_eq!(marks(&view), expected.map(|(suffix, change)| mark(suffix, change)));
    let top = view.nodes.node(TOP);
    assert_eq!(top.stirred, Some(seconds(10)));
    assert!(view.lasts() < seconds(1));
    view.tick(seconds(9) + FADE + Duration::from_millis(999));
    assert!(shown(&view).contains(&"/c/d/e".to_owned()));
    view.tick(seconds(10) + FADE);
    assert_eq!(shown(&view), ["", "/a", "/a/x", "/b", "/z"]);
    assert!(view.marked.is_empty());
    // The time of its change is still known.
    assert_eq!(marks(&view), [mark("/a/x", altered), mark("/z", added)]);
}

#[test]
fn what_comes_back_before_it_is_gone_stays() {
    let mut view = view((100, 30), &SAMPLE);
    view.handle(seconds(1), Input::Shown(snapshot(&SAMPLE[..2])));
    view.handle(seconds(2), Input::Shown(snapshot(&SAMPLE)));
    view.tick(seconds(60));
    assert_eq!(shown(&view).len(), 9);
}

#[test]
fn the_selection_stays_on_its_key_and_on_its_place() {
    let mut view = view((100, 7), &SAMPLE);
    view.open_all();
    keys(&mut view, "/c/d/e⏎");
    let place = view.row - view.first;
    let mut more = SAMPLE.to_vec();
    more.extend([("a/a", ""), ("a/b", ""), ("aa", ""), ("z", "")]);
    view.handle(seconds(1), Input::Shown(snapshot(&more)));
    assert_eq!((selected(&view).as_str(), view.row - view.first), ("/c/d/e", place));
    view.handle(seconds(2), Input::Shown(snapshot(&SAMPLE[3..])));
    view.tick(seconds(60));
    assert_eq!(shown(&view), ["", "/c", "/c/d", "/c/d/e", "/c/d/f"]);
    assert_eq!(selected(&view), "/c/d/e");
    // It moves to the next row when its own disappears, and to the previous one at the end.
    view.handle(seconds(61), Input::Shown(snapshot(&SAMPLE[4..])));
    view.tick(seconds(70));
    assert_eq!(selected(&view), "/c/d/f");
    view.handle(seconds(71), Input::Shown(snapshot(&[])));
    assert_eq!(selected(&view), "/c/d/f");
    view.tick(seconds(80));
    assert_eq!(shown(&view), [""]);
    assert_eq!(selected(&view), "");
}

#[test]
fn the_mouse_selects_opens_and_scrolls() {
    let mut view = view((100, 8), &SAMPLE);
    let left = MouseEventKind::Down(MouseButton::Left);
    mouse(&mut view, left, 8, 4);
    assert_eq!((selected(&view).as_str(), view.rows.len()), ("/c", 4));
    mouse(&mut view, left, 8, 4);
    assert_eq!(view.rows.len(), 5);
    mouse(&mut view, left, 4, 2);
    assert_eq!((selected(&view).as_str(), view.rows.len()), ("/a", 7));
    mouse(&mut view, MouseEventKind::ScrollDown, 3, 3);
    assert_eq!(view.first, 1);
    mouse(&mut view, MouseEventKind::ScrollUp, 3, 3);
    assert_eq!(view.first, 0);
    // A click below the rows, and on the names of the display modes.
    mouse(&mut view, left, 3, 7);
    assert_eq!(selected(&view), "/a");
    let json = crate::cli::tree::draw::mode_at(&view, ratatui::layout::Position::new(64, 4));
    assert_eq!(json, Some(Mode::Json));
    mouse(&mut view, left, 64, 4);
    assert_eq!((view.mode, view.focus), (Mode::Json, Pane::Value));
}

#[test]
fn the_value_scrolls_and_begins_anew_with_another_key() {
    let long = "a line\n".repeat(50);
    let mut view = view((100, 20), &[("a", &long), ("b", "short")]);
    keys(&mut view, "j⇥jj");
    assert_eq!((view.focus, view.line), (Pane::Value, 2));
    keys(&mut view, "G");
    let last = view.line;
    assert!(last > 30);
    keys(&mut view, "j");
    assert_eq!(view.line, last);
    keys(&mut view, "⇥j");
    assert_eq!((view.line, view.lines.lines.as_slice()), (0, &["short".to_owned()][..]));
    keys(&mut view, "3");
    assert!(view.lines.lines[0].starts_with("000000  73 68"));
}

#[test]
fn a_version_is_asked_for_once_and_again_after_a_change() {
    let mut view = view((100, 20), &SAMPLE);
    assert_eq!(view.question(), None, "the top is no key");
    keys(&mut view, "↓↓");
    let question = view.question().unwrap();
    assert_eq!(question.key.as_str(), "/top/a/x");
    let told = |question, version| Input::Told(Told { question, version, written: None });
    view.handle(seconds(1), told(question.clone(), Ok(Some(Version::Revision(5)))));
    assert_eq!(view.question(), None);
    assert!(view.told().is_some());
    view.handle(seconds(2), Input::Shown(snapshot(&[("a/x", "new")])));
    let again = view.question().unwrap();
    assert_ne!(again, question);
    view.handle(seconds(3), told(again.clone(), Err("it is down".to_owned())));
    assert_eq!(view.question(), None);
    view.tick(seconds(20));
    assert_eq!(view.question(), Some(again));
    let lost = Link::Lost { why: "gone".to_owned(), since: "12:00:00".to_owned() };
    view.handle(seconds(21), Input::Link(lost));
    assert_eq!(view.question(), None);
}

proptest! {
    /// Whatever is typed and whatever changes: the selection exists and is on the screen, and the nodes are exactly the store's
    /// keys and the recently deleted ones.
    #[test]
    fn any_keys_and_changes_leave_it_whole(
        steps in prop::collection::vec((
            "[jkhlgGn*⏎⇥⎋v23 ]{0,3}(/[ab/]{0,2}⏎)?",
            prop::collection::btree_map("([ab]?(/[abc]?){0,2})", "[xy]", 0..6),
            0_u64..4,
            (0_u16..120, 0_u16..20),
        ), 1..20)
    ) {
        let mut view = View::new(Key::new("/top").unwrap(), "store".to_owned(), (80, 10));
        let mut now = Duration::ZERO;
        for (typed, pairs, passed, size) in steps {
            now += seconds(passed);
            view.handle(now, Input::Size(size.0, size.1));
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
            view.handle(now, Input::Shown(snapshot(&pairs)));
            keys(&mut view, &typed);
            let height = usize::from(view.areas().tree.height).max(1);
            prop_assert!(view.row < view.rows.len());
            prop_assert!(view.first <= view.row && view.row < view.first + height);
            prop_assert_eq!(&view.rows, &view.nodes.walk(false).collect::<Vec<_>>());
            let held = view.nodes.walk(true).filter(|(id, _)| matches!(view.nodes.node(*id).holds, Holds::Value(_)));
            prop_assert_eq!(held.count(), pairs.len());
            let backend = ratatui::backend::TestBackend::new(size.0.max(1), size.1.max(1));
            let mut terminal = ratatui::Terminal::new(backend).unwrap();
            let theme = crate::cli::tree::draw::Theme { colours: true };
            terminal.draw(|frame| crate::cli::tree::draw::draw(frame, &view, theme)).unwrap();
            view.tick(now + Duration::from_hours(1));
            prop_assert_eq!(view.nodes.walk(true).filter(|(id, _)| {
                let node = view.nodes.node(*id);
                node.children() == 0 && matches!(node.holds, Holds::Prefix | Holds::Gone) && *id != TOP
            }).count(), 0);
            now += Duration::from_hours(1);
        }
    }
}
