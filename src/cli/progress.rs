//! Long work said: a bar on a terminal, a line a chunk elsewhere, and how far it came when it failed.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Failure;
use super::stores::failure;
use crate::store::access::{Access, Change};

/// Changes beyond which it is said how far they are.
const MANY: usize = 100;

pub(super) struct Progress;

impl Progress {
    /// Makes all changes, in order. `done` is the past tense of what is done: `deleted`.
    pub(super) async fn apply(access: &Access, done: &str, changes: &[Change]) -> Result<(), Failure> {
        let signals = signal(SignalKind::interrupt())
            .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
        let many = changes.len() > MANY;
        let terminal = std::io::stderr().is_terminal();
        let bar = bar(many && terminal, done, changes.len());
        let (mut made, mut said) = (0, 0);
        let mut told = |count: usize| {
            // Changes that are made one by one would be a line each.
            let chunk = count - made > 1 || count - said >= MANY || count == changes.len();
            made = count;
            bar.set_position(u64::try_from(count).unwrap_or(u64::MAX));
            if many && !terminal && chunk {
                said = count;
                // Standard error may be closed; the work goes on.
                let _ = writeln!(std::io::stderr(), "{done} {count} of {}", changes.len());
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
                return Err(Failure::signalled(signal, format!(
                    "interrupted: {made} of {} changes were made, and stay; so may those that were on their way",
                    changes.len()
                )));
            }
        };
        bar.finish_and_clear();
        outcome.map_err(|error| {
            let so_far = match made {
                0 => "nothing was changed".to_owned(),
                made => format!("{made} of {} changes were made before that, and stay", changes.len()),
            };
            failure(error).and(&so_far)
        })
    }
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
