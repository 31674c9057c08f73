//! The scenes: one option after the other, each with the inputs that it matters for.

use std::sync::Arc;
use std::time::Duration;

use super::super::fixture::{policy, seconds};
use crate::policy::{Pause, Suspension};
use crate::watch::{
    Guard, OnDelete, OnFailure, PolicySpec, Retries, RunMode, RunOnLoad, SignalNumber, Validate,
};

/// What may happen besides states, slots, ends and time.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of kinds of inputs")]
pub(super) struct Alphabet {
    pub(super) deletions: bool,
    pub(super) baselines: bool,
    pub(super) losses: bool,
    pub(super) triggers: bool,
    pub(super) pauses: bool,
    pub(super) closing: bool,
    pub(super) permits: bool,
    pub(super) guard: bool,
    pub(super) prevented: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) name: String,
    pub(super) policy: Arc<PolicySpec>,
    pub(super) alphabet: Alphabet,
    pub(super) standing: Suspension,
    /// The sequence number of an adopted run's state.
    pub(super) adopted: Option<u64>,
}

fn retrying(plain: &PolicySpec) -> PolicySpec {
    PolicySpec {
        retries: Retries::AtMost(1),
        retry_delay: seconds(1),
        retry_delay_max: seconds(4),
        ..plain.clone()
    }
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
    let both = PolicySpec { on_delete, guard, ..plain.clone() };
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

/// The daemon lacks what a start takes.
fn prevented_scenes(
    plain: &PolicySpec,
    retrying: &PolicySpec,
    settling: &PolicySpec,
    add: &mut impl FnMut(&str, PolicySpec, Alphabet),
) {
    let prevented = Alphabet { prevented: true, ..Alphabet::default() };
    add("prevented", plain.clone(), Alphabet { losses: true, ..prevented });
    add("prevented, changing", retrying.clone(), Alphabet { deletions: true, triggers: true, ..prevented });
    add("prevented, closing", settling.clone(), Alphabet { pauses: true, closing: true, ..prevented });
    add(
        "prevented, interval",
        PolicySpec { min_interval: seconds(2), ..plain.clone() },
        Alphabet { triggers: true, ..prevented },
    );
}

/// One option after the other over a plain policy, each with the inputs that it matters for.
pub(super) fn scenes(run_mode: RunMode) -> Vec<Scene> {
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
    let retrying = retrying(&plain);
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
    prevented_scenes(&plain, &retrying, &settling, &mut add);
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
pub(super) fn scenes_with_permits(run_mode: RunMode) -> Vec<Scene> {
    let permits = Alphabet { permits: true, ..Alphabet::default() };
    let plain = policy(run_mode);
    let retrying = retrying(&plain);
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
    add("prevented", retrying.clone(), Alphabet { prevented: true, triggers: true, ..permits }, None);
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
