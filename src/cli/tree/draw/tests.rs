//! The view as it is on screens of several sizes.

use std::time::Duration;

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
          evil\u{1b}[2J = \u{1b}]0;x\u{7}       │ version 1042
          server = {"listen": 8080, "names": ["…│ written 5m ago · 37 bytes
        ▾ up                                    │ text  JSON  hex
    ●       a = 10.0.0.9                        │
    -       b (deleted)                         │ {
    +       c = new                             │   "listen": 8080,
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
     /top  etcd://loc… ● connected · 4 keys
      ▾ /top
          evil\u{1b}[2J = \u{1b}]0;x\u{7}
          server = {"listen": 8080, "names"…
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
     /top  etcd://loc… ● connected · 4 keys
      ▾ /top
          evil\u{1b}[2J = \u{1b}]0;x\u{7}
          server = {"listen": 8080, "names"…
    ◆   ▸ up (3)






     ? help  q quit  / search  m mode   3/4
    "#);
    keys(&mut hidden, "?");
    insta::assert_snapshot!(text(&hidden, (40, 12)), @r"
    ┌──────────────── Keys ────────────────┐
    │ ↑ ↓  k j      move, or scroll the   ┃│
    │               value                 ┃│
    │ → l           expand, go inside     ┃│
    │ ← h           collapse, go up        │
    │ Enter Space   expand or collapse     │
    │ *  -          expand, collapse all   │
    │               below                  │
    │ PgUp PgDn     a page; so do Ctrl-B   │
    │               Ctrl-F, Ctrl-U Ctrl-D  │
    │ g G           first, last            │
    └───────────── ↑ ↓ scroll ─────────────┘
    ");
}

#[test]
fn a_lost_connection_is_shown() {
    let mut view = sample((80, 10));
    let lost = |why: &str| Link::Lost { why: why.to_owned(), since: "12:03:11".to_owned() };
    view.handle(seconds(3), Input::Link(lost("cannot reach etcd://localhost:2379")));
    let shown = text(&view, (80, 10));
    assert!(shown.contains("○ NOT CONNECTED since 12:03:11 · 4 keys"), "{shown}");
    assert!(shown.contains("cannot reach etcd://localhost:2379"), "{shown}");
    view.handle(seconds(3), Input::Size(40, 12));
    let shown = text(&view, (40, 12));
    assert!(shown.starts_with(" /top ") && shown.contains("NOT CONNECTED since 12:03:11"), "{shown}");
    // However long the reason is, it takes at most three lines.
    for (width, height) in [(80, 24), (40, 12), (20, 6)] {
        view.handle(seconds(3), Input::Size(width, height));
        view.handle(seconds(3), Input::Link(lost(&"every word of it ".repeat(20))));
        let shown = text(&view, (width, height));
        assert!(shown.contains("NOT CONNECTED") && shown.ends_with("/7"), "{shown}");
        assert!(shown.contains("every word of it") && shown.contains('…'), "{shown}");
    }
}

#[test]
fn a_refused_subtree_is_shown_separately_from_the_connection() {
    let refused = || Input::Link(Link::Refused("read /top from etcd: permission denied".to_owned()));
    for size in [(40, 12), (80, 24), (200, 50)] {
        let mut view = sample(size);
        view.handle(seconds(3), refused());
        let shown = text(&view, size);
        assert!(shown.contains("● connected, out of date"), "{shown}");
        let words: Vec<&str> = shown.split_whitespace().collect();
        let why = "cannot read /top: read /top from etcd: permission denied";
        assert!(words.join(" ").contains(why), "{shown}");
        assert!(shown.contains("server = ") && shown.contains("? help"), "{shown}");
    }
    let mut view = View::new(crate::watch::Key::new("/top").unwrap(), "etcd://e".to_owned(), (80, 12));
    view.handle(seconds(1), refused());
    let shown = text(&view, (80, 12));
    assert!(shown.contains("● connected, not read") && shown.contains("permission denied"), "{shown}");
}

#[test]
fn cut_text_ends_with_a_sign() {
    let long = "0123456789".repeat(30);
    let mut view = view((40, 12), &[(&long, "x"), ("k", &long), ("kk", "a = b")]);
    let shown = text(&view, (40, 12));
    let cut: Vec<&str> = shown.lines().filter(|line| line.ends_with('…')).collect();
    assert!(cut.len() == 2 && cut.iter().all(|line| line.chars().count() == 40), "{shown}");
    assert!(shown.contains("kk = a = b"), "{shown}");
    keys(&mut view, "v2");
    assert!(text(&view, (40, 12)).lines().filter(|line| line.ends_with('…')).count() == 2);
}

/// The name of the selected key is visible at any depth, indented below its parents.
#[test]
fn deep_trees_scroll_sideways() {
    let path: Vec<String> = (0..60).map(|depth| format!("n{depth}")).collect();
    let mut view = view((40, 12), &[(&path.join("/"), "deepest")]);
    view.open_all();
    for depth in 0..60 {
        keys(&mut view, "↓");
        let shown = text(&view, (40, 12));
        assert!(shown.lines().any(|line| line.trim_end().contains(&format!(" n{depth}"))), "{depth} {shown}");
    }
    let shown = text(&view, (40, 12));
    let lines: Vec<&str> = shown.lines().collect();
    let above = lines.iter().position(|line| line.contains("n58")).unwrap();
    let column = |line: &str, text| line.find(text).map(|at| line[..at].chars().count());
    assert!(lines[above + 1].contains("n59 = deepest"), "{shown}");
    assert_eq!(column(lines[above], "n58").map(|at| at + 2), column(lines[above + 1], "n59"), "{shown}");
    // A click on the visible arrow works.
    keys(&mut view, "g");
    assert!(text(&view, (40, 12)).contains("▾ /top"));
}

#[test]
fn the_help_is_read_to_its_end_on_any_screen() {
    for size in [(40, 8), (40, 24), (80, 24), (200, 50), (15, 5)] {
        let mut view = sample(size);
        keys(&mut view, "?");
        let mut read = String::new();
        for _ in 0..100 {
            read.push_str(&text(&view, size));
            keys(&mut view, "↓");
        }
        for (_, what) in crate::cli::tree::keys::HELP {
            for word in what.split_whitespace().filter(|_| size.0 >= 40) {
                assert!(read.contains(word), "{size:?} {word}");
            }
        }
        keys(&mut view, "?");
        assert_eq!(view.help, None);
    }
}

#[test]
fn without_a_time_in_the_store_the_age_counts_from_the_first_read() {
    let mut view = view((80, 24), &[("a", "1")]);
    keys(&mut view, "↓");
    let told =
        Told { question: view.question().unwrap(), version: Ok(Some(Version::Revision(3))), written: None };
    view.handle(seconds(1), Input::Told(told));
    view.tick(seconds(300));
    assert!(text(&view, (80, 24)).contains("over 5m old · 1 byte"));
}

#[test]
fn an_empty_view_says_why() {
    let mut empty = View::new(crate::watch::Key::new("/a").unwrap(), "dir:///k".to_owned(), (60, 10));
    assert!(text(&empty, (60, 10)).contains("Connecting to dir:///k"));
    empty.handle(seconds(1), Input::Link(Link::Connected));
    assert!(text(&empty, (60, 10)).contains("Reading dir:///k … 1s"));
    // Progress is visible, a few times a second and no more.
    let before = text(&empty, (60, 10));
    assert!(empty.lasts() >= Duration::from_millis(200) && empty.lasts() < seconds(1));
    empty.tick(seconds(1) + empty.lasts());
    assert_ne!(text(&empty, (60, 10)), before);
    keys(&mut empty, "*");
    assert!(text(&empty, (60, 10)).contains("All will be expanded"));
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
