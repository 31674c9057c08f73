//! The view as it is on screens of several sizes.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::cli::tree::model::tests::{keys, seconds, snapshot, view};
use crate::cli::tree::model::{Input, Told};
use crate::watch::Version;

fn screen(view: &View, (width, height): (u16, u16), colours: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, Theme { colours })).unwrap();
    terminal
}

/// What is on the screen, without blanks at the ends of its lines.
fn text(view: &View, size: (u16, u16)) -> String {
    let shown = screen(view, size, true).backend().to_string();
    let lines = shown.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

fn sample(size: (u16, u16)) -> View {
    let json = r#"{"listen": 8080, "names": ["a", "b"]}"#;
    let pairs =
        [("server", json), ("evil\x1b[2J", "\x1b]0;x\x07"), ("up/a", "10.0.0.1"), ("up/b", "10.0.0.2")];
    let mut view = view(size, &pairs);
    keys(&mut view, "/server⏎⎋2");
    let question = view.question().unwrap();
    let told = Told { question, version: Ok(Some(Version::Revision(1042))), written: Some(seconds(300)) };
    view.handle(seconds(1), Input::Told(told));
    let mut later = pairs.to_vec();
    later[2].1 = "10.0.0.9";
    later[3] = ("up/c", "new");
    view.handle(seconds(2), Input::Shown(snapshot(&later)));
    view
}

#[test]
fn a_usual_terminal() {
    insta::assert_snapshot!(text(&sample((80, 24)), (80, 24)), @r#"
     /top  etcd://localhost:2379                               ● connected · 4 keys
      ▾ /top                                    │ /top/server
          evil\u{1b}[2J  \u{1b}]0;x\u{7}        │ version 1042
          server  {"listen": 8080, "names": ["a"│ written 5m ago · 37 bytes
        ▾ up                                    │ text  JSON  hex
    ●       a  10.0.0.9                         │
    -       b  deleted                          │ {
    +       c  new                              │   "listen": 8080,
                                                │   "names": [
                                                │     "a",
                                                │     "b"
                                                │   ]
                                                │ }
                                                │
                                                │
                                                │
                                                │
                                                │
                                                │
                                                │
                                                │
                                                │
                                                │
     ? help  q quit  / search  Tab pane  m mode  v value                        3/7
    "#);
}

#[test]
fn a_small_terminal() {
    insta::assert_snapshot!(text(&sample((40, 12)), (40, 12)), @r#"
     /top  etcd://lo…  ● connected · 4 keys
      ▾ /top
          evil\u{1b}[2J  \u{1b}]0;x\u{7}
          server  {"listen": 8080, "names":
    ◆   ▸ up (3)

     /top/server ───────────────────────────
     text JSON hex  v 1042 · written 5m ago
     {                                     ┃
       "listen": 8080,
       "names": [
     ? help  q quit  / search  m mode   3/4
    "#);
    let mut hidden = sample((40, 12));
    keys(&mut hidden, "v");
    insta::assert_snapshot!(text(&hidden, (40, 12)), @r#"
     /top  etcd://lo…  ● connected · 4 keys
      ▾ /top
          evil\u{1b}[2J  \u{1b}]0;x\u{7}
          server  {"listen": 8080, "names":
    ◆   ▸ up (3)






     ? help  q quit  / search  m mode   3/4
    "#);
    keys(&mut hidden, "?");
    insta::assert_snapshot!(text(&hidden, (40, 12)), @r"
    ↑ ↓  k j      move, or scroll
    → l           expand, go inside
    ← h           collapse, go up
    Enter Space   expand or collapse
    *  -          expand, collapse all
    PgUp PgDn g G page; first, last
    /  n N        search; next, previous
    Tab           other pane
    v             show or hide the value
    m  1 2 3      text, JSON, hex
    mouse         click, click again, wheel
    q  Ctrl-C     leave
    ");
}

#[test]
fn a_lost_connection_is_said() {
    let mut view = sample((80, 10));
    view.handle(seconds(3), Input::Link(Link::Lost("cannot reach etcd://localhost:2379".to_owned())));
    let shown = text(&view, (80, 10));
    assert!(shown.contains("○ NOT CONNECTED · 4 keys"), "{shown}");
    assert!(shown.contains("cannot reach etcd://localhost:2379"), "{shown}");
}

#[test]
fn nothing_yet_is_said() {
    let mut empty = View::new(crate::watch::Key::new("/a").unwrap(), "dir:///k".to_owned(), (60, 10));
    assert!(text(&empty, (60, 10)).contains("Reading dir:///k"));
    empty.handle(seconds(1), Input::Link(Link::Connected));
    empty.handle(seconds(1), Input::Shown(snapshot(&[])));
    assert!(text(&empty, (60, 10)).contains("Nothing at or below /a yet"));
}

#[test]
fn no_control_character_and_without_colours_no_colour() {
    for mode in ["1", "2", "3"] {
        let mut view = sample((100, 20));
        keys(&mut view, "/evil⏎");
        keys(&mut view, mode);
        for colours in [true, false] {
            let terminal = screen(&view, (100, 20), colours);
            let cells = terminal.backend().buffer().content();
            assert!(cells.iter().all(|cell| !cell.symbol().contains(char::is_control)));
            let coloured = cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
            assert_eq!(coloured, colours);
        }
    }
}

#[test]
fn marks_fade() {
    let mut view = sample((80, 24));
    let mut looks = Vec::new();
    for at in [2, 4, 6] {
        view.tick(seconds(at));
        let row = view.rows.iter().position(|(id, _)| view.nodes.node(*id).name() == "a").unwrap();
        let terminal = screen(&view, (80, 24), true);
        let cell = terminal.backend().buffer()[(0, u16::try_from(row).unwrap() + 1)].clone();
        assert!(!looks.contains(&cell) && cell.symbol() != " ", "{at} {cell:?}");
        looks.push(cell);
    }
    view.tick(seconds(9));
    let terminal = screen(&view, (80, 24), true);
    let marks = (0..24).map(|y| terminal.backend().buffer()[(0, y)].symbol());
    assert!(marks.into_iter().all(|symbol| symbol == " "));
}
