//! Every input sequence, for every run mode and each option, as deep as a few seconds allow.
//!
//! Breadth first, one second at a time; a situation that was met before (in normal form) is not explored again. Every input
//! is judged, and from every situation the watch must end well.
//!
//! `TWITCHER_POLICY_SITUATIONS=20000 cargo test policy::tests::exhaustive` searches that many situations a scene.

mod scenes;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fixture::{Counter, absent, present, run, seconds, version};
use super::judge::{FleetSeen, Judge, LiveSeen};
use super::normal::fingerprint;
use crate::policy::{Adopted, Baseline, Control, Grant, Input, Machine, Permission, RunEnd};
use crate::watch::{Reason, RunMode, Seq, Verdict};
use scenes::{Alphabet, Scene, scenes, scenes_with_permits};

pub(super) const MODES: [RunMode; 5] = [
    RunMode::Queue,
    RunMode::Discard,
    RunMode::Restart,
    RunMode::Parallel { max: 1 },
    RunMode::Parallel { max: 2 },
];

/// One step of a sequence: the clock advances without an input, or there is an input.
#[derive(Clone)]
enum Step {
    Tick,
    Tell(Input),
}

impl Step {
    fn word(&self, begin: Instant) -> String {
        let at = |at: &Instant| at.saturating_duration_since(begin).as_secs();
        match self {
            Self::Tick => "tick".into(),
            Self::Tell(Input::State { state, baseline, .. }) => {
                let there = if state.content.is_absent() { "gone" } else { "state" };
                format!("{there} {} ({baseline:?})", state.seq.0)
            }
            Self::Tell(Input::Validated { seq, valid }) => {
                format!("{} is {}", seq.0, if *valid { "valid" } else { "invalid" })
            }
            Self::Tell(Input::Prevented(run)) => format!("{run} prevented"),
            Self::Tell(Input::Ended(ended)) => format!("{} {:?}", ended.run, ended.verdict),
            Self::Tell(Input::Control(Control::Pause { until: Some(until) })) => {
                format!("pause to {}", at(until))
            }
            Self::Tell(Input::Retire { deadline }) => format!("retire by {:?}", deadline.as_ref().map(at)),
            Self::Tell(Input::Stop { deadline }) => format!("stop by {}", at(deadline)),
            Self::Tell(Input::Permit(grant)) => {
                let retry = if grant.retry { ", retry" } else { "" };
                format!("permit {} for {} to {}{retry}", grant.permit, grant.order.0, at(&grant.deadline))
            }
            Self::Tell(Input::Claimed { permit, fresh_until }) => {
                format!("claimed {permit} to {}", at(fresh_until))
            }
            Self::Tell(
                input @ (Input::Slot
                | Input::Wakeup
                | Input::Control(_)
                | Input::Refused(_)
                | Input::PermitLost(_)
                | Input::Offline),
            ) => format!("{input:?}"),
        }
    }
}

#[derive(Clone)]
struct Situation {
    machine: Machine<Counter>,
    judge: Judge,
    /// The clock advanced since the last input.
    ticked: bool,
    path: Vec<Step>,
    begin: Instant,
}

impl Situation {
    fn story(&self) -> String {
        self.path.iter().map(|step| step.word(self.begin)).collect::<Vec<_>>().join(", ")
    }

    fn begin(scene: &Scene, now: Instant) -> Self {
        let mut machine = Machine::new(Arc::clone(&scene.policy), Counter::default(), scene.standing);
        let mut judge = Judge::of(Arc::clone(&scene.policy), now);
        if scene.policy.guard.max_shrink.is_some() {
            machine.remember_entries(1);
        }
        judge.paused = scene.standing.paused;
        judge.stopped = scene.standing.stopped;
        let permit = scene.alphabet.permits.then(|| {
            machine.need_permits();
            judge.fleet = Some(FleetSeen::default());
            judge.grant_of(0, seconds(3), seconds(1))
        });
        if let Some(seq) = scene.adopted {
            let (run, started, attempt) = (run(1000), now, 1);
            machine.adopt(Adopted {
                run: run.clone(),
                version: Some(version(seq)),
                reason: Reason::Change,
                attempt,
                coalesced: 1,
                started,
                permit,
            });
            judge.fleet = permit.map(|grant| FleetSeen::adopting(run.clone(), grant));
            let seq = Some(seq).filter(|seq| *seq == 1);
            let (term, killed, adopted) = (None, false, true);
            judge.live.push(LiveSeen { run, seq, started, attempt, term, killed, adopted });
        }
        Self { machine, judge, ticked: false, path: Vec::new(), begin: now }
    }

    fn steps(&self, alphabet: Alphabet) -> Vec<Step> {
        let (judge, now) = (&self.judge, self.judge.now);
        let mut steps = Vec::new();
        let next = judge.newest.map_or(1, |newest| newest.seq + 1);
        let baselines = if judge.newest.is_none() && alphabet.baselines {
            &[
                Baseline::Unknown,
                Baseline::Applied,
                Baseline::Changed,
                Baseline::GaveUp,
                Baseline::Interrupted,
                Baseline::Pending,
            ][..]
        } else if alphabet.guard && judge.newest.is_some_and(|newest| newest.held) {
            &[Baseline::Unknown, Baseline::Applied][..]
        } else {
            &[Baseline::Unknown][..]
        };
        // More waiting entries behave like these, and lengthen every sequence.
        let baselines = if judge.unfated.len() < 4 { baselines } else { &[] };
        for baseline in baselines {
            let mut tell =
                |state| steps.push(Step::Tell(Input::State { state, updates: 1, baseline: *baseline }));
            tell(present(next));
            // What was applied last, in these scenes, is something.
            let again = judge.newest.is_some() && *baseline == Baseline::Applied;
            if alphabet.deletions && !again {
                tell(absent(next));
            }
        }
        if judge.asked {
            steps.push(Step::Tell(Input::Slot));
        }
        for valid in [true, false] {
            let seq = judge.validating.map(Seq);
            steps.extend(seq.map(|seq| Step::Tell(Input::Validated { seq, valid })));
        }
        let verdicts = [Verdict::Succeeded, Verdict::Failed, Verdict::Unknown];
        for live in &judge.live {
            for verdict in &verdicts[..if alphabet.losses || live.adopted { 3 } else { 2 }] {
                steps.push(Step::Tell(Input::Ended(RunEnd { run: live.run.clone(), verdict: *verdict })));
            }
        }
        if alphabet.prevented && !self.ticked {
            steps.extend(judge.before.iter().map(|(run, _)| Step::Tell(Input::Prevented(run.clone()))));
        }
        if self.ticked {
            steps.push(Step::Tell(Input::Wakeup));
        }
        if alphabet.triggers {
            steps.push(Step::Tell(Input::Control(Control::Trigger(Permission::Needed))));
            if alphabet.permits {
                steps.push(Step::Tell(Input::Control(Control::Trigger(Permission::Waived))));
            }
        }
        if alphabet.guard {
            steps.push(Step::Tell(Input::Control(Control::Release)));
        }
        if alphabet.pauses {
            for until in [None, Some(now + seconds(2))] {
                steps.push(Step::Tell(Input::Control(Control::Pause { until })));
            }
            steps.push(Step::Tell(Input::Control(Control::Resume)));
        }
        if alphabet.closing {
            steps.push(Step::Tell(Input::Retire { deadline: Some(now + seconds(1)) }));
            steps.push(Step::Tell(Input::Stop { deadline: now + seconds(1) }));
            steps.push(Step::Tell(Input::Stop { deadline: now }));
        }
        steps.extend(self.permits().into_iter().map(Step::Tell));
        // Up to one second late; and on, where only the interval still matters.
        let interval = judge.last_start.is_some_and(|(_, at)| now < at + judge.policy.min_interval);
        if interval || self.machine.poll_timeout().is_some_and(|at| now < at + seconds(1)) {
            steps.push(Step::Tick);
        }
        steps
    }

    /// What the fleet may answer.
    fn permits(&self) -> Vec<Input> {
        let (judge, now) = (&self.judge, self.judge.now);
        let Some(fleet) = &judge.fleet else { return Vec::new() };
        let mut inputs = Vec::new();
        if let Some(order) = fleet.asked {
            let refused = fleet.next().filter(|next| next.refused);
            let (short, long) = (seconds(2), Duration::from_hours(1));
            for (lasts, hold) in [(long, Duration::ZERO), (short, seconds(1))] {
                let grant = judge.grant_of(order, lasts, hold);
                match refused {
                    Some(next) => inputs.push(Input::Permit(Grant { permit: next.permit, ..grant })),
                    None => inputs.push(Input::Permit(grant)),
                }
            }
        }
        let order = judge.newest.map_or(0, |newest| newest.seq);
        let other = judge.grant_of(order + 7, seconds(2), Duration::ZERO);
        let retry = Grant { retry: true, ..judge.grant_of(order, seconds(2), Duration::ZERO) };
        inputs.extend(
            [Input::Permit(other), Input::Permit(retry)].into_iter().filter(|_| fleet.asked.is_none()),
        );
        if let Some(permit) = fleet.claim {
            inputs.push(Input::Claimed { permit, fresh_until: now + seconds(10) });
            inputs.push(Input::Claimed { permit, fresh_until: now });
            inputs.push(Input::Refused(permit));
            inputs.push(Input::Offline);
        }
        inputs.extend(fleet.held.iter().filter(|held| !held.lost).map(|held| Input::PermitLost(held.permit)));
        inputs
    }

    fn take(&self, step: &Step) -> Result<Self, String> {
        let mut after = self.clone();
        after.path.push(step.clone());
        match step {
            Step::Tick => {
                after.judge.now += seconds(1);
                after.ticked = true;
            }
            Step::Tell(input) => {
                let fed = after.judge.feed(&mut after.machine, input);
                fed.map_err(|fault| format!("{fault}; after: {}", after.story()))?;
                after.ticked = false;
            }
        }
        Ok(after)
    }

    fn examine(&self) -> Result<(), String> {
        let punctual = if self.ticked { Ok(()) } else { self.judge.punctual(&self.machine) };
        let harmless = || {
            if self.judge.asked || self.ticked {
                return Ok(());
            }
            // Late: a slot that was not requested, the end of an unknown run, an old state.
            let mut machine = self.machine.clone();
            let slot = machine.handle(self.judge.now, Input::Slot);
            let end = RunEnd { run: run(77), verdict: Verdict::Failed };
            let mut effects = machine.handle(self.judge.now, Input::Ended(end));
            if let Some(newest) = self.judge.newest {
                let (state, baseline) = (present(newest.seq), Baseline::Unknown);
                effects.extend(machine.handle(self.judge.now, Input::State { state, updates: 1, baseline }));
            }
            for seq in [0, 77].into_iter().chain(self.judge.last_applied) {
                if self.judge.validating != Some(seq) {
                    let valid = false;
                    effects.extend(machine.handle(self.judge.now, Input::Validated { seq: Seq(seq), valid }));
                }
            }
            let quiet = slot == [crate::policy::Effect::Release] && effects.is_empty();
            if quiet && machine == self.machine { Ok(()) } else { Err("late inputs did something".into()) }
        };
        punctual
            .and_then(|()| harmless())
            .and_then(|()| self.judge.ends_well(&self.machine))
            .map_err(|fault: String| format!("{fault}; after: {}", self.story()))
    }
}

/// How far one scene was explored.
struct Explored {
    situations: usize,
    depth: usize,
    complete: bool,
}

fn explore(scene: &Scene, budget: usize) -> Result<Explored, String> {
    let now = Instant::now();
    let anchor = now + Duration::from_hours(1000);
    let begin = Situation::begin(scene, now);
    begin.examine()?;
    let mut met = HashSet::from([fingerprint(&begin.machine, &begin.judge, anchor)]);
    let mut frontier = vec![begin];
    let mut depth = 0;
    while !frontier.is_empty() && met.len() < budget {
        depth += 1;
        let mut next = Vec::new();
        for situation in &frontier {
            for step in situation.steps(scene.alphabet) {
                let after = situation.take(&step)?;
                let mut print = fingerprint(&after.machine, &after.judge, anchor);
                print ^= u64::from(after.ticked);
                if met.insert(print) {
                    after.examine()?;
                    next.push(after);
                }
            }
        }
        frontier = next;
    }
    Ok(Explored { situations: met.len(), depth, complete: frontier.is_empty() })
}

/// Situations a scene, unless more are asked for. The option that needs most to get `SHALLOWEST` deep decides.
const BUDGET: usize = 300;
const SHALLOWEST: usize = 3;

fn explore_all(scenes: Vec<Scene>) {
    let budget = std::env::var("TWITCHER_POLICY_SITUATIONS").ok();
    let budget = budget.and_then(|budget| budget.parse().ok()).unwrap_or(BUDGET);
    for scene in scenes {
        match explore(&scene, budget) {
            Ok(Explored { situations, depth, complete }) => {
                let all = if complete { ", all there are" } else { "" };
                println!("{}: {situations} situations{all}, depth {depth}", scene.name);
                assert!(complete || depth >= SHALLOWEST, "{} reached depth {depth} only", scene.name);
            }
            Err(fault) => panic!("{}: {fault}", scene.name),
        }
    }
}

#[test]
fn every_sequence_in_queue_mode() {
    explore_all(scenes(MODES[0]));
}

#[test]
fn every_sequence_in_discard_mode() {
    explore_all(scenes(MODES[1]));
}

#[test]
fn every_sequence_in_restart_mode() {
    explore_all(scenes(MODES[2]));
}

#[test]
fn every_sequence_in_parallel_mode_one_at_a_time() {
    explore_all(scenes(MODES[3]));
}

#[test]
fn every_sequence_in_parallel_mode() {
    explore_all(scenes(MODES[4]));
}

#[test]
fn every_sequence_in_queue_mode_with_permits() {
    explore_all(scenes_with_permits(RunMode::Queue));
}

#[test]
fn every_sequence_in_restart_mode_with_permits() {
    explore_all(scenes_with_permits(RunMode::Restart));
}
