//! The data of a watch's `validate`: the state that waits to be judged, and the live program.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::slots::Slot;
use crate::process::{RunCommand, Running};
use crate::watch::{Reason, Seq, Version};

/// A state to be judged.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct StateToJudge {
    pub(in crate::daemon) seq: Seq,
    pub(in crate::daemon) version: Version,
    pub(in crate::daemon) reason: Reason,
    pub(in crate::daemon) coalesced: u64,
    /// Its standard input; `None` is `/dev/null`.
    pub(in crate::daemon) input: Option<Bytes>,
}

/// The live program and the next state.
#[derive(Debug, Default)]
pub(super) struct Validator {
    pub(super) next: Option<StateToJudge>,
    /// The slot that `next` waits for.
    pub(super) slot: Option<Slot>,
    pub(super) live: Option<LiveValidator>,
    /// When `next` is tried again, because the daemon could not start the program.
    pub(super) again: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct LiveValidator {
    /// `None`: the state is superseded, and the judgement is dropped.
    pub(super) seq: Option<Seq>,
    pub(super) version: Version,
    pub(super) running: Running,
    pub(super) due: Due,
    /// Given back when the program has ended.
    pub(super) _slot: Option<Slot>,
}

/// The next signal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    Term(Instant),
    Kill(Instant),
    Nothing,
}

impl Due {
    pub(super) fn at(self) -> Option<Instant> {
        match self {
            Self::Term(at) | Self::Kill(at) => Some(at),
            Self::Nothing => None,
        }
    }
}

impl LiveValidator {
    pub(super) fn term(&mut self, now: Instant, timed_out: bool, kill_after: Duration) {
        self.running.commands.send(RunCommand::Term { timed_out });
        self.due = now.checked_add(kill_after).map_or(Due::Nothing, Due::Kill);
    }

    pub(super) fn kill(&mut self) {
        self.running.commands.send(RunCommand::Kill);
        self.due = Due::Nothing;
    }
}
