//! The condition of a watch at a glance: its rank, its mark and its words.

use super::super::paint::Paint;
use crate::status::{WatchState, WatchStatus};

/// The urgency of a watch for the reader, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Urgency {
    Failed,
    Stopped,
    Held,
    Unreachable,
    Retrying,
    Paused,
    Running,
    Pending,
    /// Idle, and the newest state was not applied.
    NotRun,
    Ok,
    Disabled,
}

impl Urgency {
    /// All of them, most urgent first.
    pub(in crate::cli) const ALL: [Self; 11] = [
        Self::Failed,
        Self::Stopped,
        Self::Held,
        Self::Unreachable,
        Self::Retrying,
        Self::Paused,
        Self::Running,
        Self::Pending,
        Self::NotRun,
        Self::Ok,
        Self::Disabled,
    ];

    pub(super) fn of(watch: &WatchStatus) -> Self {
        match watch.state {
            WatchState::Failed => Self::Failed,
            WatchState::Stopped => Self::Stopped,
            WatchState::Held => Self::Held,
            WatchState::Unreachable => Self::Unreachable,
            WatchState::Retrying => Self::Retrying,
            WatchState::Paused => Self::Paused,
            WatchState::Running => Self::Running,
            WatchState::Settling | WatchState::Splaying | WatchState::Waiting => Self::Pending,
            WatchState::Idle if watch.converged => Self::Ok,
            WatchState::Idle => Self::NotRun,
            WatchState::Disabled => Self::Disabled,
        }
    }

    /// Tells conditions apart without colour.
    pub(in crate::cli) fn mark(self) -> &'static str {
        match self {
            Self::Failed | Self::Stopped => "✗",
            Self::Held => "⊘",
            Self::Unreachable => "!",
            Self::Retrying => "↻",
            Self::Paused => "‖",
            Self::Running => "▸",
            Self::Pending => "…",
            Self::NotRun => "·",
            Self::Ok => "✓",
            Self::Disabled => "-",
        }
    }

    /// The word in the summary; bad ones are in capitals.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
            Self::Held => "HELD",
            Self::Unreachable => "UNREACHABLE",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Pending => "about to run",
            Self::NotRun => "not run",
            Self::Ok => "ok",
            Self::Disabled => "disabled",
        }
    }

    pub(super) fn paint(self, text: &str, paint: Paint) -> String {
        match self {
            Self::Failed | Self::Stopped | Self::Held | Self::Unreachable => paint.bad(text),
            Self::Retrying | Self::Running | Self::Pending => paint.busy(text),
            Self::Paused | Self::Disabled => paint.faint(text),
            Self::NotRun => text.to_owned(),
            Self::Ok => paint.good(text),
        }
    }
}

/// What `--failed` selects.
pub(super) fn is_failed(state: WatchState) -> bool {
    match state {
        WatchState::Failed
        | WatchState::Stopped
        | WatchState::Held
        | WatchState::Retrying
        | WatchState::Unreachable => true,
        WatchState::Idle
        | WatchState::Settling
        | WatchState::Splaying
        | WatchState::Waiting
        | WatchState::Running
        | WatchState::Paused
        | WatchState::Disabled => false,
    }
}
