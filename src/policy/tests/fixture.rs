//! Plain policies, states and a source of ids for the machine's tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::policy::{Baseline, Effect, Entropy, Input, Machine, RunEnd, Suspension};
use crate::watch::{
    Content, Guard, OnDelete, OnFailure, PolicySpec, Reason, Retries, RunId, RunMode, RunOnLoad, Seq, State,
    Verdict, Version,
};

pub(in crate::policy) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every option off: a start happens at once.
pub(in crate::policy) fn policy(run_mode: RunMode) -> PolicySpec {
    PolicySpec {
        run_on_load: RunOnLoad::Always,
        run_mode,
        on_delete: OnDelete::Ignore,
        notify_signal: None,
        timeout: None,
        kill_after: seconds(5),
        settle: Duration::ZERO,
        settle_max: Duration::ZERO,
        splay: Duration::ZERO,
        min_interval: Duration::ZERO,
        retries: Retries::AtMost(0),
        retry_delay: seconds(4),
        retry_delay_max: seconds(60),
        on_failure: OnFailure::Keep,
        success_codes: vec![0],
        guard: Guard::default(),
    }
}

/// Counts runs; draws the longest delays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::policy) struct Counter {
    pub(in crate::policy) drawn: u32,
}

impl Entropy for Counter {
    fn run_id(&mut self) -> RunId {
        self.drawn += 1;
        run(self.drawn)
    }

    fn jitter(&mut self) -> f64 {
        1.0
    }
}

pub(in crate::policy) fn run(number: u32) -> RunId {
    RunId(Arc::from(format!("r{number}")))
}

pub(in crate::policy) fn version(seq: u64) -> Version {
    Version::Revision(100 + i64::try_from(seq).unwrap())
}

pub(in crate::policy) fn present(seq: u64) -> State {
    State { seq: Seq(seq), version: version(seq), content: Content::Value(Bytes::from_static(b"value")) }
}

pub(in crate::policy) fn absent(seq: u64) -> State {
    State { content: Content::Absent, ..present(seq) }
}

/// A machine with a clock, for readable tests.
pub(in crate::policy) struct Story {
    pub(in crate::policy) machine: Machine<Counter>,
    pub(in crate::policy) begin: Instant,
    pub(in crate::policy) now: Instant,
}

impl Story {
    pub(in crate::policy) fn of(policy: PolicySpec) -> Self {
        Self::standing(policy, Suspension::default())
    }

    pub(in crate::policy) fn standing(policy: PolicySpec, standing: Suspension) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(policy, Counter::default(), standing), begin: now, now }
    }

    /// A machine that has run state 1 (as run 1) and is idle.
    pub(in crate::policy) fn after_load(policy: PolicySpec) -> Self {
        let load = PolicySpec { settle: Duration::ZERO, splay: Duration::ZERO, ..policy.clone() };
        let mut story = Self::of(load);
        assert_eq!(story.state(1), [Effect::Acquire]);
        assert_eq!(story.slot(), [start(1, Reason::Load, 1)]);
        assert_eq!(story.ends(1, Verdict::Succeeded), [applied(1, 1)]);
        story.machine.policy = policy.into();
        story
    }

    pub(in crate::policy) fn input(&mut self, input: Input) -> Vec<Effect> {
        self.machine.handle(self.now, input)
    }

    pub(in crate::policy) fn first(&mut self, state: State, baseline: Baseline) -> Vec<Effect> {
        self.input(Input::State { state, updates: 1, baseline })
    }

    pub(in crate::policy) fn state(&mut self, seq: u64) -> Vec<Effect> {
        self.first(present(seq), Baseline::Unknown)
    }

    pub(in crate::policy) fn gone(&mut self, seq: u64) -> Vec<Effect> {
        self.first(absent(seq), Baseline::Unknown)
    }

    pub(in crate::policy) fn slot(&mut self) -> Vec<Effect> {
        self.input(Input::Slot)
    }

    pub(in crate::policy) fn ends(&mut self, number: u32, verdict: Verdict) -> Vec<Effect> {
        self.input(Input::Ended(RunEnd { run: run(number), verdict }))
    }

    /// Advances the time to this many seconds after the begin, with a wake-up.
    pub(in crate::policy) fn at(&mut self, seconds: u64) -> Vec<Effect> {
        self.now = self.begin + Duration::from_secs(seconds);
        self.input(Input::Wakeup)
    }

    /// In how many seconds after the begin it wants to be woken up.
    pub(in crate::policy) fn wakes(&self) -> Option<u64> {
        self.machine.poll_timeout().map(|at| at.duration_since(self.begin).as_secs())
    }
}

/// A start of a present state, first attempt, standing for one update; its run is named `number`.
pub(in crate::policy) fn start_as(
    number: u32,
    seq: u64,
    reason: Reason,
    attempt: u32,
    coalesced: u64,
) -> Effect {
    Effect::Start { state: present(seq), reason, attempt, coalesced, run: run(number) }
}

pub(in crate::policy) fn start(seq: u64, reason: Reason, number: u32) -> Effect {
    start_as(number, seq, reason, 1, 1)
}

pub(in crate::policy) fn applied(number: u32, seq: u64) -> Effect {
    Effect::Applied { run: run(number), seq: Seq(seq), version: version(seq) }
}

#[test]
fn a_machine_is_small() {
    // Ten thousand of them should leave room in 40 MB for everything else.
    let size = size_of::<Machine<Counter>>();
    assert!(size <= 640, "{size}");
}
