//! Progress of long work: a bar on a terminal, otherwise a line for each chunk, and how far it got if it failed.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Failure;
use super::stores::failure;
use crate::log::escape;
use crate::store::StoreError;
use crate::store::access::{Access, Change, Reached};

/// Progress is shown for more changes than this, and again after this many if each change is made separately.
const MANY: usize = 100;

/// Bytes of values for which even a few changes take long.
const HEAVY: usize = 1 << 20;

/// The words for the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Its past tense: `deleted`.
    pub(super) done: &'static str,
    /// How to see what remains after a failure.
    pub(super) rest: &'static str,
}

/// How far a series of changes has got.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// How many were sent to the store, and how many of these were made.
    sent: usize,
    made: usize,
}

impl Work {
    /// Makes all changes, in order.
    pub(super) async fn apply(self, access: &Access, changes: &[Change]) -> Result<(), Failure> {
        let signals = signal(SignalKind::interrupt())
            .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
        let terminal = std::io::stderr().is_terminal();
        let many = changes.len() > MANY;
        let long = many || weight(changes) > HEAVY;
        let in_chunks = match access {
            Access::Etcd(_) | Access::ZooKeeper(_) => true,
            Access::Dir(_) => false,
        };
        let bar = bar(long && terminal, self.done, changes.len());
        let (mut progress, mut said) = (Progress::default(), 0);
        let mut told = |reached: Reached| {
            let made = match reached {
                Reached::Sent(sent) => {
                    progress.sent = sent;
                    return;
                }
                Reached::Made(made) => made,
            };
            progress.made = made;
            bar.set_position(u64::try_from(made).unwrap_or(u64::MAX));
            let due = if in_chunks {
                // For a single chunk the summary says the same.
                made < changes.len() || said > 0
            } else {
                many && (made - said >= MANY || made == changes.len())
            };
            if due && !terminal {
                said = made;
                // Standard error may be closed; the work goes on.
                let _ = writeln!(
                    std::io::stderr(),
                    "{} {made} of {}{}",
                    self.done,
                    changes.len(),
                    up_to(", to", changes, made)
                );
            }
        };
        let interrupted = async {
            let (mut interrupt, mut terminate) = signals?;
            tokio::select! {
                _ = interrupt.recv() => Ok::<_, std::io::Error>(libc::SIGINT),
                _ = terminate.recv() => Ok(libc::SIGTERM),
            }
        };
        let outcome = tokio::select! {
            outcome = access.apply(changes, &mut told) => outcome,
            Ok(signal) = interrupted => {
                bar.finish_and_clear();
                return Err(Failure::signalled(signal, format!("interrupted; {}", self.left(changes, progress))));
            }
        };
        bar.finish_and_clear();
        outcome.map_err(|error| {
            let progress = match &error {
                StoreError::Unavailable { .. } | StoreError::Unanswered { .. } => progress,
                // The store has answered that it did not make them.
                StoreError::Denied { .. }
                | StoreError::Refused { .. }
                | StoreError::Conflict { .. }
                | StoreError::File { .. } => Progress { sent: progress.made, ..progress },
            };
            failure(error).and(&self.left(changes, progress))
        })
    }

    /// The state after a failure: changes made, changes possibly made, and how to see the rest.
    fn left(self, changes: &[Change], Progress { sent, made }: Progress) -> String {
        let all = changes.len();
        let stays = format!(
            "the changes before it are kept: {made} of {all} changes{}",
            up_to(", the last to", changes, made)
        );
        let unknown = |which: String| {
            format!("whether {which} changes{}, were made is not known", up_to(", up to", changes, sent))
        };
        let rest = self.rest;
        match (made, sent - made) {
            (0, 0) => "nothing was changed".to_owned(),
            (0, sent) => format!("{}; {rest}", unknown(format!("the first {sent} of {all}"))),
            (_, 0) => format!("{stays}; {rest}"),
            (_, more) => format!("{stays}; {}; {rest}", unknown(format!("the next {more}"))),
        }
    }
}

/// The last of this many changes after a prefix; empty for none.
fn up_to(word: &str, changes: &[Change], count: usize) -> String {
    let last = count.checked_sub(1).and_then(|last| changes.get(last));
    last.map_or_else(String::new, |change| {
        format!("{word} {}", escape::line(change.key().as_str().as_bytes()))
    })
}

fn weight(changes: &[Change]) -> usize {
    let size = |change: &Change| match change {
        Change::Put { value, .. } => value.len(),
        Change::Delete { .. } | Change::Require { .. } => 0,
    };
    changes.iter().map(size).sum()
}

fn bar(shown: bool, done: &str, length: usize) -> ProgressBar {
    let target = if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(u64::try_from(length).ok(), target);
    if let Ok(style) = ProgressStyle::with_template("{msg} {pos}/{len} {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(done.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::access::Condition;
    use crate::watch::Key;

    #[test]
    fn a_failure_reports_what_was_changed() {
        let delete =
            |n| Change::Delete { key: Key::new(&format!("/k\n{n}")).unwrap(), condition: Condition::Any };
        let changes: Vec<Change> = (1..=9).map(delete).collect();
        let work = Work { done: "deleted", rest: "look" };
        for (sent, made, said) in [
            (0, 0, "nothing was changed"),
            (3, 0, "whether the first 3 of 9 changes, up to /k\\n3, were made is not known; look"),
            (3, 3, "the changes before it are kept: 3 of 9 changes, the last to /k\\n3; look"),
            (
                7,
                3,
                "the changes before it are kept: 3 of 9 changes, the last to /k\\n3; \
                 whether the next 4 changes, up to /k\\n7, were made is not known; look",
            ),
        ] {
            assert_eq!(work.left(&changes, Progress { sent, made }), said);
        }
    }
}
