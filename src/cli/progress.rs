//! Long work said: a bar on a terminal, a line a chunk elsewhere, and how far it came when it failed.

use std::io::{IsTerminal, Write};
use std::time::Duration;

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
        let outcome = access.apply(changes, &mut told).await;
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
