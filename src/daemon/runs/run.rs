//! One live run of any origin: its record, and the handle that signals it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::slots::Slot;
use crate::ledger::LiveRecord;
use crate::process::{Ending, RunCommand, RunCommands, Running, Script};
use crate::watch::State;

/// A run that has a process and has not ended.
#[derive(Debug)]
pub(in crate::daemon) struct Run {
    /// Its record in the ledger.
    pub(in crate::daemon) live: LiveRecord,
    /// When its process began.
    pub(in crate::daemon) since: Instant,
    pub(super) commands: RunCommands,
    pub(super) ended: Ending,
    pub(super) origin: Origin,
    /// Twitcher ended it for a reason of its own, so its end does not count as a failure of the action.
    pub(super) dismissed: bool,
    /// Given back when the run ends. An adopted run has none.
    pub(super) slot: Option<Slot>,
    _script: Option<Script>,
    _counted: Counted,
}

/// The origin of a run.
#[derive(Debug)]
pub(super) enum Origin {
    /// This daemon started it with this state.
    Started(Box<State>),
    /// A former daemon, or this one before a panic, started it for the current target.
    Adopted,
    /// The same for another target: the watch waits for its end and repeats nothing.
    Foreign,
}

impl Run {
    pub(super) fn started(
        live: LiveRecord,
        running: Running,
        state: State,
        slot: Option<Slot>,
        script: Option<Script>,
        counted: Counted,
    ) -> Self {
        let origin = Origin::Started(Box::new(state));
        Self { slot, _script: script, ..Self::adopted(live, running, origin, counted) }
    }

    pub(super) fn adopted(live: LiveRecord, running: Running, origin: Origin, counted: Counted) -> Self {
        let Running { since, commands, ended, .. } = running;
        Self {
            live,
            since,
            commands,
            ended,
            origin,
            dismissed: false,
            slot: None,
            _script: None,
            _counted: counted,
        }
    }

    /// An orphan passed to its watch.
    pub(super) fn claimed(self, live: LiveRecord, origin: Origin) -> Self {
        Self { live, origin, ..self }
    }

    /// Whether it is for another target than the watch's current one.
    pub(in crate::daemon) fn is_foreign(&self) -> bool {
        match self.origin {
            Origin::Foreign => true,
            Origin::Started(_) | Origin::Adopted => false,
        }
    }

    /// Whether it is the watch's own, and counts as one of its processes: it has a slot, or was adopted without one.
    pub(super) fn fills_a_place(&self) -> bool {
        match self.origin {
            Origin::Started(_) => self.slot.is_some(),
            Origin::Adopted => true,
            Origin::Foreign => false,
        }
    }

    /// Whether the system refused to send it a signal.
    pub(super) fn refuses_signals(&self) -> bool {
        self.commands.were_refused()
    }

    /// Sends TERM at the deadline, and KILL so long after it. For runs that no machine decides about.
    pub(super) fn end_by(&self, deadline: Instant, kill_after: Duration) {
        let commands = self.commands.clone();
        let over = self.commands.clone();
        let sequence = async move {
            tokio::time::sleep_until(deadline.into()).await;
            commands.send(RunCommand::Term { timed_out: false });
            tokio::time::sleep(kill_after).await;
            commands.send(RunCommand::Kill);
        };
        tokio::spawn(async move {
            tokio::select! {
                () = over.closed() => {}
                () = sequence => {}
            }
        });
    }
}

/// Counts the live runs.
#[derive(Debug, Default)]
pub(super) struct Count(Arc<AtomicU64>);

impl Count {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a run.
    pub(super) fn one_more(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }
}

/// A live run, counted while this lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
