//! Changes of a store that delivers states: the differences from one state to the next.

use std::task::Poll;

use super::line::{Event, Line, Printer};
use super::note;
use crate::cli::Failure;
use crate::log::escape;
use crate::store::{Health, LinkState, Store, StoreSpec, Subscribe, Subscription, Update, dir};
use crate::tree::Snapshot;
use crate::tree::place::key_text;
use crate::watch::{Key, Node, Spelling, Version, WatchType};

pub(super) async fn follow(spec: StoreSpec, key: Key, printer: Printer) -> Result<(), Failure> {
    let store = Store::open(spec);
    let mut health = store.health();
    let mut told_down = false;
    let mut told_refused = false;
    let mut subscription = store.subscribe(Subscribe::new(key.clone(), WatchType::Tree));
    // Keys that exist at the start are not changes.
    let mut before = None;
    loop {
        tokio::select! {
            seen = next(&mut subscription, told_refused) => match seen {
                Seen::Update(update) => {
                    let after = Snapshot::of(key.clone(), &update.state);
                    match &before {
                        Some(before) => show(before, &after, update.state.version, &printer)?,
                        None => super::note_watching(&key, store.spec()),
                    }
                    before = Some(after);
                }
                Seen::Refused(why) => {
                    told_refused = true;
                    let why = escape::line(why.as_bytes());
                    note(&format!("{key} cannot be watched, waiting for it: {why}"));
                }
                Seen::Admitted => {
                    told_refused = false;
                    note(&format!("{key} can be watched again; of what changed meanwhile, the last state is shown"));
                }
            },
            Ok(()) = health.changed() => tell(&health.borrow_and_update(), &mut told_down),
            () = super::unread() => return Ok(()),
        }
    }
}

/// An event of a subscription.
enum Seen {
    Update(Update),
    /// The store refuses the key, but not others.
    Refused(String),
    /// It no longer does.
    Admitted,
}

/// Waits for a state, or until the key is refused or accepted again.
async fn next(subscription: &mut Subscription, refused: bool) -> Seen {
    std::future::poll_fn(|context| {
        if let Poll::Ready(update) = subscription.poll_next(context) {
            return Poll::Ready(Seen::Update(update));
        }
        let freshness = subscription.freshness();
        // The health of a store reports that it is not connected.
        match freshness.error.filter(|_| freshness.connected) {
            Some(why) if !refused => Poll::Ready(Seen::Refused(why)),
            None if refused && freshness.connected => Poll::Ready(Seen::Admitted),
            Some(_) | None => Poll::Pending,
        }
    })
    .await
}

fn show(before: &Snapshot, after: &Snapshot, version: Version, printer: &Printer) -> Result<(), Failure> {
    let time = Some(jiff::Timestamp::now());
    let changes = before.entries().written(after.entries());
    let lines: Vec<Line<'_>> = changes
        .filter(|(_, before, after)| is_change(*before, *after))
        .map(|(path, _, now)| Line {
            time,
            version: after.version_of(path).unwrap_or_else(|| without_hash(version)),
            key: key_text(before.key(), path, Spelling::Slashed),
            event: now.map_or(Event::Delete, |node| Event::Put(node.value)),
        })
        .collect();
    printer.print(&lines)
}

/// Whether a node was written or deleted. An empty `ZooKeeper` node is shown differently when its first child appears or its
/// last one disappears.
fn is_change(before: Option<Node<'_>>, after: Option<Node<'_>>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => {
            before.origin.revision == 0 || before.origin.revision != after.origin.revision
        }
        (Some(_), None) | (None, _) => true,
    }
}

/// The version of a subtree for a deleted key: its current revision, but not a hash of the remaining keys.
fn without_hash(version: Version) -> Version {
    match version {
        Version::Revision(_) => version,
        Version::Hash(_) => dir::NOTHING,
    }
}

fn tell(health: &Health, told_down: &mut bool) {
    match health.state {
        LinkState::Down if !*told_down => {
            *told_down = true;
            let why = health.error.as_deref().unwrap_or("the reason is unknown");
            note(&format!("the store is not reached, and waited for: {why}"));
        }
        LinkState::Connected if *told_down => {
            *told_down = false;
            note("the store is connected again; of what changed meanwhile, the last state is shown");
        }
        LinkState::Down | LinkState::Connected | LinkState::Connecting => {}
    }
}
