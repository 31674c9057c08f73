//! Changes of a store that shows states: the differences from one state to the next.

use super::line::{Event, Line, Printer};
use super::note;
use crate::cli::Failure;
use crate::store::{Health, LinkState, Store, StoreSpec, Subscribe};
use crate::tree::place::key_text;
use crate::tree::{Scope, Snapshot};
use crate::watch::{Key, Spelling, Version, WatchType};

pub(super) async fn follow(spec: StoreSpec, key: Key, printer: Printer) -> Result<(), Failure> {
    let store = Store::open(spec);
    let mut health = store.health();
    let mut told_down = false;
    let mut subscription = store.subscribe(Subscribe::new(key.clone(), WatchType::Tree));
    // What is there at first is no change.
    let mut before = None;
    loop {
        tokio::select! {
            update = subscription.next() => {
                let after = Snapshot::of(key.clone(), &update.state);
                if let Some(before) = &before {
                    show(before, &after, update.state.version, &printer)?;
                }
                before = Some(after);
            }
            Ok(()) = health.changed() => tell(&health.borrow_and_update(), &mut told_down),
            () = super::unread() => return Ok(()),
        }
    }
}

fn show(before: &Snapshot, after: &Snapshot, version: Version, printer: &Printer) -> Result<(), Failure> {
    let time = Some(jiff::Timestamp::now());
    let differences = before.differences(after, "", Scope::Below);
    let lines: Vec<Line<'_>> = differences
        .iter()
        .map(|difference| Line {
            time,
            version,
            key: key_text(before.key(), &difference.path, Spelling::Slashed),
            event: difference.after.as_ref().map_or(Event::Delete, |value| Event::Put(value.as_deref())),
        })
        .collect();
    printer.print(&lines)
}

fn tell(health: &Health, told_down: &mut bool) {
    match health.state {
        LinkState::Down if !*told_down => {
            *told_down = true;
            let why = health.error.as_deref().unwrap_or("no reason is known");
            note(&format!("the store is not reached, and waited for: {why}"));
        }
        LinkState::Connected if *told_down => {
            *told_down = false;
            note("the store is connected again; of what changed meanwhile, the last state is shown");
        }
        LinkState::Down | LinkState::Connected | LinkState::Connecting => {}
    }
}
