//! Long sequences with odd timings and mixed options, judged like the exhaustive ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::exhaustive::MODES;
use super::fixture::{Counter, absent, policy, present, run};
use super::judge::Judge;
use crate::policy::{Baseline, Control, Input, Machine, Permission, RunEnd, Suspension};
use crate::watch::{
    Guard, OnDelete, OnFailure, PolicySpec, Retries, RunMode, RunOnLoad, Seq, SignalNumber, Validate, Verdict,
};

/// An event, chosen before it is known what is possible.
#[derive(Debug, Clone)]
enum Event {
    /// This many updates, seen as one state; `true`: the key is deleted.
    State(u64, bool),
    Slot,
    Validated(bool),
    /// One of the live runs, by index modulo their number.
    End(usize, Verdict),
    Prevented,
    Clock(u64),
    WakeOnTime,
    Control(Control),
    PauseFor(u64),
    Retire(u64),
    Stop(u64),
    Stranger,
}

fn events() -> impl Strategy<Value = Event> {
    let verdict =
        prop_oneof![4 => Just(Verdict::Succeeded), 3 => Just(Verdict::Failed), 1 => Just(Verdict::Unknown)];
    prop_oneof![
        12 => (1..4_u64, proptest::bool::weighted(0.15)).prop_map(|(updates, gone)| Event::State(updates, gone)),
        16 => Just(Event::Slot),
        8 => proptest::bool::weighted(0.7).prop_map(Event::Validated),
        12 => (0..3_usize, verdict).prop_map(|(which, verdict)| Event::End(which, verdict)),
        3 => Just(Event::Prevented),
        8 => (0..9_000_u64).prop_map(Event::Clock),
        16 => Just(Event::WakeOnTime),
        4 => Just(Event::Control(Control::Trigger(Permission::Needed))),
        2 => Just(Event::Control(Control::Pause { until: None })),
        2 => (0..9_000_u64).prop_map(Event::PauseFor),
        4 => Just(Event::Control(Control::Resume)),
        2 => Just(Event::Control(Control::Release)),
        1 => Just(Event::Stranger),
    ]
}

fn endings() -> impl Strategy<Value = Option<Event>> {
    proptest::option::of(prop_oneof![
        (0..9_000_u64).prop_map(Event::Retire),
        (0..9_000_u64).prop_map(Event::Stop),
    ])
}

fn waits(most: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), (1..most).prop_map(Duration::from_millis)]
}

prop_compose! {
    fn policies()(
        run_mode in proptest::sample::select(MODES.to_vec()),
        run_on_load in proptest::sample::select(vec![RunOnLoad::Always, RunOnLoad::Never, RunOnLoad::Changed]),
        on_delete in proptest::sample::select(vec![OnDelete::Ignore, OnDelete::Run]),
        on_failure in proptest::sample::select(vec![OnFailure::Keep, OnFailure::Stop]),
        retries in prop_oneof![(0..3_u32).prop_map(Retries::AtMost), Just(Retries::Unlimited)],
        notify in any::<bool>(),
        timeout in proptest::option::of((1..6_000_u64).prop_map(Duration::from_millis)),
        kill_after in waits(3_000),
        settle in waits(3_000),
        settle_max in waits(9_000),
        splay in waits(3_000),
        min_interval in waits(6_000),
        min_entries in 0..2_u64,
        validate in proptest::sample::select(vec![
            Validate::Nothing, Validate::Values, Validate::Everything, Validate::Everything,
        ]),
        retry_delay in (1..2_000_u64).prop_map(Duration::from_millis),
    ) -> PolicySpec {
        let notify_signal = notify.then_some(SignalNumber(1));
        let retry_delay_max = retry_delay * 3;
        PolicySpec {
            run_on_load, on_delete, notify_signal, timeout, kill_after, settle, settle_max, splay, min_interval,
            retries, retry_delay, retry_delay_max, on_failure,
            guard: Guard { min_entries, max_shrink: None, validate },
            ..policy(run_mode)
        }
    }
}

struct Play {
    machine: Machine<Counter>,
    judge: Judge,
    seq: u64,
}

impl Play {
    fn input(&mut self, event: &Event, baseline: Baseline) -> Option<Input> {
        let now = self.judge.now;
        let after = |millis: u64| now + Duration::from_millis(millis);
        Some(match event {
            Event::State(updates, gone) => {
                self.seq += updates;
                let state = if *gone { absent(self.seq) } else { present(self.seq) };
                Input::State { state, updates: *updates, baseline }
            }
            Event::Slot => {
                if !self.judge.asked {
                    return None;
                }
                Input::Slot
            }
            Event::Validated(valid) => Input::Validated { seq: Seq(self.judge.validating?), valid: *valid },
            Event::End(which, verdict) => {
                let live = &self.judge.live;
                let ending = live.get(which % live.len().max(1))?;
                Input::Ended(RunEnd { run: ending.run.clone(), verdict: *verdict })
            }
            Event::Prevented => Input::Prevented(self.judge.before.as_ref()?.0.clone()),
            Event::Clock(millis) => {
                self.judge.now = after(*millis);
                return None;
            }
            Event::WakeOnTime => {
                self.judge.now = now.max(self.machine.poll_timeout()?);
                Input::Wakeup
            }
            Event::Control(control) => Input::Control(*control),
            Event::PauseFor(millis) => Input::Control(Control::Pause { until: Some(after(*millis)) }),
            Event::Retire(millis) => Input::Retire { deadline: Some(after(*millis)) },
            Event::Stop(millis) => Input::Stop { deadline: after(*millis) },
            Event::Stranger => Input::Ended(RunEnd { run: run(9999), verdict: Verdict::Failed }),
        })
    }

    fn see(&mut self, event: &Event, baseline: Baseline) -> Result<(), TestCaseError> {
        let Some(input) = self.input(event, baseline) else { return Ok(()) };
        let fed = self.judge.feed(&mut self.machine, &input);
        fed.and_then(|_| self.judge.punctual(&self.machine)).map_err(TestCaseError::fail)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_sequences_with_odd_timings(
        policy in policies(),
        baseline in proptest::sample::select(vec![
            Baseline::Unknown, Baseline::Applied, Baseline::Changed, Baseline::GaveUp, Baseline::Interrupted,
            Baseline::Pending,
        ]),
        events in proptest::collection::vec(events(), 0..120),
        ending in endings(),
    ) {
        let policy = Arc::new(policy);
        let machine = Machine::new(Arc::clone(&policy), Counter::default(), Suspension::default());
        let mut play = Play { machine, judge: Judge::of(policy, Instant::now()), seq: 0 };
        for event in &events {
            play.see(event, baseline)?;
        }
        play.judge.ends_well(&play.machine).map_err(TestCaseError::fail)?;
        if let Some(ending) = ending {
            play.see(&ending, baseline)?;
            play.judge.ends_well(&play.machine).map_err(TestCaseError::fail)?;
        }
    }
}

#[test]
fn the_same_inputs_have_the_same_effects() {
    // No hidden state: two machines with the same inputs behave the same, and so does a copy.
    let told = |machine: &mut Machine<Counter>, now: Instant| {
        let mut effects = Vec::new();
        for seq in 1..20_u64 {
            let state = if seq % 5 == 0 { absent(seq) } else { present(seq) };
            effects
                .extend(machine.handle(now, Input::State { state, updates: 1, baseline: Baseline::Unknown }));
            effects.extend(machine.handle(now, Input::Slot));
            let (run, verdict) = (run(u32::try_from(seq).unwrap()), Verdict::Failed);
            effects.extend(machine.handle(now, Input::Ended(RunEnd { run, verdict })));
        }
        effects
    };
    let now = Instant::now();
    let policy = PolicySpec { retries: Retries::Unlimited, ..policy(RunMode::Parallel { max: 2 }) };
    let mut one = Machine::new(policy.clone(), Counter::default(), Suspension::default());
    let mut copy = one.clone();
    assert_eq!(told(&mut one, now), told(&mut copy, now));
    assert_eq!(one, copy);
}
