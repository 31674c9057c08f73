//! The full-screen view of a large subtree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use twitcher::internals::cli::tree::draw::{Theme, draw};
use twitcher::internals::cli::tree::model::{Input, View};
use twitcher::tree::Snapshot;
use twitcher::watch::{Content, Key, Seq, State, Subtree, Version};

use crate::table::{Table, percentile};

/// 50,000 keys, all opened; each time a hundred change, one comes and one goes, and the screen is drawn.
pub fn redraw(table: &mut Table) {
    let key = Key::new("/bench").unwrap();
    let path = |number: u32| format!("rack-{}/host-{}/key-{}", number % 50, number / 50 % 100, number / 5000);
    let value = |round: u32, number: u32| Some(Bytes::from(format!("value {number} of round {round}")));
    let first: BTreeMap<String, Option<Bytes>> =
        (0..50_000).map(|number| (path(number), value(0, number))).collect();
    let mut entries: Subtree = first.into_iter().collect();
    let state = |round: u32, entries: &Subtree| State {
        seq: Seq(u64::from(round)),
        version: Version::Revision(i64::from(round)),
        content: Content::Tree(entries.clone()),
    };
    let mut view = View::new(key.clone(), "bench".to_owned(), (120, 40));
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    view.handle(Duration::ZERO, Input::Shown(Snapshot::of(key.clone(), &state(0, &entries))));
    view.open_all();
    let mut samples = Vec::new();
    for round in 1..=300 {
        for step in 0..100 {
            let number = (round * 7919 + step * 499) % 50_000;
            entries.insert(&path(number), value(round, number).as_deref());
        }
        entries.insert(&format!("rack-7/new-{round}"), value(round, 0).as_deref());
        entries.remove(&format!("rack-7/new-{}", round - 1));
        let snapshot = Snapshot::of(key.clone(), &state(round, &entries));
        let began = Instant::now();
        view.handle(Duration::from_millis(33) * round, Input::Shown(snapshot));
        terminal.draw(|frame| draw(frame, &view, Theme { colours: true })).unwrap();
        samples.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    table.value("tree: redraw at 50,000 keys, p50", percentile(&mut samples, 0.5), "ms", 16.0);
    table.value("tree: redraw at 50,000 keys, p99", percentile(&mut samples, 0.99), "ms", 16.0);
}
