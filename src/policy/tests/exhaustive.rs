//! Every input sequence, for every run mode and each option, as deep as a few seconds allow.
//!
//! Breadth first, one second at a time; a situation that was met before (in normal form) is not explored again. Every input
//! is judged, and from every situation the watch must end well.
//!
//! `TWITCHER_POLICY_SITUATIONS=20000 cargo test policy::tests::exhaustive` searches that many situations a scene.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fixture::{Counter, absent, policy, present, run, seconds, version};
use super::judge::{FleetSeen, Judge, LiveSeen};
use super::normal::fingerprint;
use crate::policy::{
    Adopted, Baseline, Control, Grant, Input, Machine, Pause, Permission, RunEnd, Suspension,
};
use crate::watch::{
    Guard, OnDelete, OnFailure, PolicySpec, Reason, Retries, RunMode, RunOnLoad, Seq, SignalNumber, Validate,
    Verdict,
};

pub(super) const MODES: [RunMode; 5] = [
    RunMode::Queue,
    RunMode::Discard,
    RunMode::Restart,
    RunMode::Parallel { max: 1 },
    RunMode::Parallel { max: 2 },
];

/// What may happen besides states, slots, ends and time.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of kinds of inputs")]
struct Alphabet {
    deletions: bool,
    baselines: bool,
    losses: bool,
    triggers: bool,
    pauses: bool,
    closing: bool,
    permits: bool,
    guard: bool,
}

#[derive(Debug, Clone)]
struct Scene {
    name: String,
    policy: Arc<PolicySpec>,
    alphabet: Alphabet,
    standing: Suspension,
    /// The sequence number of an adopted run's state.
    adopted: Option<u64>,
}

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

/// Scenes with a program that judges states.
fn validate_scenes(
    plain: &PolicySpec,
    retrying: &PolicySpec,
    settling: &PolicySpec,
    timed: &PolicySpec,
    add: &mut impl FnMut(&str, PolicySpec, Alphabet),
) {
    let (none, on_delete) = (Alphabet::default(), OnDelete::Run);
    let held = Alphabet { guard: true, ..none };
    let deletions = Alphabet { deletions: true, ..held };
    for validate in [Validate::Values, Validate::Everything] {
        let guard = Guard { validate, ..Guard::default() };
        let judged = PolicySpec { guard, ..plain.clone() };
        let mut add = |name: &str, policy: PolicySpec, alphabet| {
            add(&format!("validates {validate:?}, {name}"), PolicySpec { guard, ..policy }, alphabet);
        };
        for run_on_load in [RunOnLoad::Always, RunOnLoad::Never] {
            for on_delete in [OnDelete::Ignore, OnDelete::Run] {
                let policy = PolicySpec { run_on_load, on_delete, ..judged.clone() };
                let alphabet = Alphabet { baselines: true, triggers: true, ..deletions };
                add(&format!("load {run_on_load:?} {on_delete:?}"), policy, alphabet);
            }
        }
        add("plain", judged.clone(), held);
        let all = Alphabet { triggers: true, pauses: true, closing: true, ..deletions };
        add("all but time", PolicySpec { on_delete, ..judged.clone() }, all);
        add("retried", retrying.clone(), Alphabet { losses: true, ..deletions });
        let stops = PolicySpec { on_failure: OnFailure::Stop, on_delete, ..plain.clone() };
        add("stops", stops, Alphabet { pauses: true, ..deletions });
        let splaying = PolicySpec { splay: seconds(1), ..settling.clone() };
        add("settle", PolicySpec { on_delete, ..splaying.clone() }, Alphabet { triggers: true, ..deletions });
        add("settle, paused", splaying, Alphabet { pauses: true, ..deletions });
        let notify = PolicySpec { on_delete, notify_signal: Some(SignalNumber(1)), ..timed.clone() };
        add("notify", notify, deletions);
        let interval = PolicySpec { min_interval: seconds(2), ..retrying.clone() };
        add("interval", interval, Alphabet { triggers: true, ..held });
    }
    let guard = Guard { min_entries: 1, max_shrink: None, validate: Validate::Everything };
    let both = PolicySpec { guard, on_delete, ..plain.clone() };
    add("counts and validates", both, Alphabet { triggers: true, baselines: true, ..deletions });
    let guard = Guard { min_entries: 0, max_shrink: Some(50), validate: Validate::Everything };
    let both = PolicySpec { guard, ..plain.clone() };
    add("compares and validates", both, Alphabet { pauses: true, ..deletions });
}

/// Scenes with a guard that wants one entry, which every value is and a deletion is not.
fn guard_scenes(
    plain: &PolicySpec,
    retrying: &PolicySpec,
    settling: &PolicySpec,
    timed: &PolicySpec,
    add: &mut impl FnMut(&str, PolicySpec, Alphabet),
) {
    let (none, on_delete) = (Alphabet::default(), OnDelete::Run);
    let held = Alphabet { deletions: true, guard: true, ..none };
    let guarded = PolicySpec { guard: Guard { min_entries: 1, ..Guard::default() }, ..plain.clone() };
    for run_on_load in [RunOnLoad::Always, RunOnLoad::Never, RunOnLoad::Changed] {
        for on_delete in [OnDelete::Ignore, OnDelete::Run] {
            let policy = PolicySpec { run_on_load, on_delete, ..guarded.clone() };
            let alphabet = Alphabet { baselines: true, ..held };
            add(&format!("guard, load {run_on_load:?} {on_delete:?}"), policy, alphabet);
        }
    }
    add("guard, triggered", guarded.clone(), Alphabet { triggers: true, ..held });
    add(
        "guard, all but time",
        PolicySpec { on_delete, ..guarded.clone() },
        Alphabet { triggers: true, pauses: true, closing: true, ..held },
    );
    add(
        "guard of what shrinks",
        PolicySpec { guard: Guard { max_shrink: Some(50), ..Guard::default() }, ..plain.clone() },
        Alphabet { triggers: true, pauses: true, ..held },
    );
    let guard = guarded.guard;
    add("guard, retried", PolicySpec { guard, ..retrying.clone() }, Alphabet { losses: true, ..held });
    add(
        "guard, stops",
        PolicySpec { guard, on_failure: OnFailure::Stop, on_delete, ..plain.clone() },
        Alphabet { pauses: true, ..held },
    );
    add(
        "guard, settle",
        PolicySpec { guard, splay: seconds(1), on_delete, ..settling.clone() },
        Alphabet { triggers: true, ..held },
    );
    add(
        "guard, settle, ignored",
        PolicySpec { guard, ..settling.clone() },
        Alphabet { pauses: true, ..held },
    );
    add(
        "guard, notify",
        PolicySpec { guard, on_delete, notify_signal: Some(SignalNumber(1)), ..timed.clone() },
        held,
    );
}

/// One option after the other over a plain policy, each with the inputs that it matters for.
fn scenes(run_mode: RunMode) -> Vec<Scene> {
    let plain = policy(run_mode);
    let none = Alphabet::default();
    let mut scenes = Vec::new();
    let mut add = |name: &str, policy: PolicySpec, alphabet| {
        let name = format!("{run_mode:?}: {name}");
        let (policy, standing) = (Arc::new(policy), Suspension::default());
        scenes.push(Scene { name, policy, alphabet, standing, adopted: None });
    };
    let deletions = Alphabet { deletions: true, ..none };
    let triggers = Alphabet { triggers: true, ..none };
    let pauses = Alphabet { pauses: true, ..none };
    let closing = Alphabet { closing: true, ..none };
    let on_delete = OnDelete::Run;
    let retrying = PolicySpec {
        retries: Retries::AtMost(1),
        retry_delay: seconds(1),
        retry_delay_max: seconds(4),
        ..plain.clone()
    };
    let settling = PolicySpec { settle: seconds(2), settle_max: seconds(3), ..plain.clone() };
    let timed = PolicySpec { timeout: Some(seconds(2)), kill_after: seconds(1), ..plain.clone() };
    for run_on_load in [RunOnLoad::Always, RunOnLoad::Never, RunOnLoad::Changed] {
        for on_delete in [OnDelete::Ignore, OnDelete::Run] {
            let policy = PolicySpec { run_on_load, on_delete, ..plain.clone() };
            let alphabet = Alphabet { deletions: true, baselines: true, pauses: true, ..none };
            add(&format!("load {run_on_load:?} {on_delete:?}"), policy, alphabet);
        }
    }
    add(
        "all but time",
        PolicySpec { on_delete, ..plain.clone() },
        Alphabet { deletions: true, triggers: true, pauses: true, closing: true, ..none },
    );
    guard_scenes(&plain, &retrying, &settling, &timed, &mut add);
    validate_scenes(&plain, &retrying, &settling, &timed, &mut add);
    let validating = Guard { validate: Validate::Everything, ..Guard::default() };
    let guard = Guard { min_entries: 1, ..Guard::default() };
    add("losses", retrying.clone(), Alphabet { losses: true, deletions: true, ..none });
    add("retries", retrying.clone(), Alphabet { deletions: true, triggers: true, ..none });
    add("retries paused", retrying.clone(), pauses);
    add("retries closing", retrying.clone(), closing);
    add("retries for ever", PolicySpec { retries: Retries::Unlimited, ..retrying.clone() }, none);
    add(
        "stops",
        PolicySpec { on_failure: OnFailure::Stop, ..plain.clone() },
        Alphabet { pauses: true, triggers: true, losses: true, ..none },
    );
    add(
        "stops later",
        PolicySpec { on_failure: OnFailure::Stop, ..retrying.clone() },
        Alphabet { pauses: true, closing: true, ..none },
    );
    add(
        "notify",
        PolicySpec { notify_signal: Some(SignalNumber(1)), ..timed.clone() },
        Alphabet { deletions: true, pauses: true, ..none },
    );
    add("timeout", timed.clone(), Alphabet { triggers: true, closing: true, ..none });
    add("timeout, kill at once", PolicySpec { kill_after: Duration::ZERO, ..timed.clone() }, closing);
    add(
        "timeout, retried",
        PolicySpec { timeout: Some(seconds(1)), kill_after: seconds(1), ..retrying.clone() },
        none,
    );
    add("closing without timeout", PolicySpec { kill_after: seconds(1), ..plain.clone() }, closing);
    add("settle", settling.clone(), deletions);
    add("settle, triggered", settling.clone(), Alphabet { triggers: true, closing: true, ..none });
    add("settle, paused", settling.clone(), pauses);
    add("splay", PolicySpec { splay: seconds(2), ..plain.clone() }, deletions);
    add(
        "splay, triggered",
        PolicySpec { splay: seconds(1), ..plain.clone() },
        Alphabet { triggers: true, pauses: true, ..none },
    );
    add("settle and splay", PolicySpec { splay: seconds(2), ..settling.clone() }, none);
    add("interval", PolicySpec { min_interval: seconds(2), ..plain.clone() }, triggers);
    add("interval, retried", PolicySpec { min_interval: seconds(3), ..retrying.clone() }, pauses);
    add("all waits", PolicySpec { splay: seconds(1), min_interval: seconds(2), ..settling }, none);
    for (name, standing) in [
        ("begins paused", Suspension { paused: Some(Pause { until: None }), stopped: false }),
        ("begins stopped", Suspension { paused: None, stopped: true }),
    ] {
        let policy = Arc::new(PolicySpec { on_delete, ..plain.clone() });
        let alphabet = Alphabet { pauses: true, deletions: true, baselines: true, ..none };
        let name = format!("{run_mode:?}: {name}");
        scenes.push(Scene { name, policy, alphabet, standing, adopted: None });
    }
    for (seq, run_on_load) in [(1, RunOnLoad::Always), (50, RunOnLoad::Always), (50, RunOnLoad::Never)] {
        let policy = PolicySpec { timeout: Some(seconds(1)), run_on_load, ..retrying.clone() };
        let alphabet = Alphabet { deletions: true, baselines: true, triggers: true, closing: true, ..none };
        let (standing, adopted) = (Suspension::default(), Some(seq));
        for guard in [Guard::default(), guard, validating] {
            let name = format!("{run_mode:?}: adopts a run of state {seq}, {run_on_load:?}, {guard:?}");
            let alphabet = Alphabet { guard: guard.is_on(), ..alphabet };
            let policy = Arc::new(PolicySpec { guard, ..policy.clone() });
            scenes.push(Scene { name, policy, alphabet, standing, adopted });
        }
    }
    scenes
}

/// Every start needs a permit.
fn scenes_with_permits(run_mode: RunMode) -> Vec<Scene> {
    let permits = Alphabet { permits: true, ..Alphabet::default() };
    let plain = policy(run_mode);
    let retrying = PolicySpec {
        retries: Retries::AtMost(1),
        retry_delay: seconds(1),
        retry_delay_max: seconds(4),
        ..plain.clone()
    };
    let all = Alphabet { deletions: true, triggers: true, pauses: true, closing: true, ..permits };
    let mut scenes = Vec::new();
    let mut add = |name: &str, policy: PolicySpec, alphabet, adopted| {
        let name = format!("{:?}, with permits: {name}", policy.run_mode);
        let (policy, standing) = (Arc::new(policy), Suspension::default());
        scenes.push(Scene { name, policy, alphabet, standing, adopted });
    };
    add("all but time", PolicySpec { on_delete: OnDelete::Run, ..plain.clone() }, all, None);
    add("plain", plain.clone(), permits, None);
    add("retries", retrying.clone(), Alphabet { losses: true, ..permits }, None);
    add("retries, triggered", retrying.clone(), Alphabet { triggers: true, ..permits }, None);
    add("retries, closing", retrying.clone(), Alphabet { pauses: true, closing: true, ..permits }, None);
    let stopping = PolicySpec { on_failure: OnFailure::Stop, ..retrying.clone() };
    add("stops", stopping, Alphabet { pauses: true, ..permits }, None);
    let timed = PolicySpec { timeout: Some(seconds(1)), kill_after: seconds(1), ..retrying.clone() };
    add("timeout", timed, permits, None);
    add("settle", PolicySpec { settle: seconds(1), settle_max: seconds(2), ..plain.clone() }, permits, None);
    add("interval", PolicySpec { min_interval: seconds(2), ..retrying.clone() }, permits, None);
    let guard = Guard { validate: Validate::Everything, ..Guard::default() };
    let validated = PolicySpec { guard, on_delete: OnDelete::Run, ..retrying.clone() };
    let alphabet = Alphabet { deletions: true, guard: true, ..permits };
    add("validates", validated.clone(), Alphabet { pauses: true, ..alphabet }, None);
    add("validates, triggered", validated, Alphabet { triggers: true, closing: true, ..alphabet }, None);
    add("splay", PolicySpec { splay: seconds(1), ..plain }, Alphabet { pauses: true, ..permits }, None);
    for seq in [1, 50] {
        let alphabet = Alphabet { baselines: true, closing: true, ..permits };
        add(&format!("adopts a run of state {seq}"), retrying.clone(), alphabet, Some(seq));
    }
    scenes
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
