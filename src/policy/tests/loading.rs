//! What the first state does: baseline, `run_on_load`, deletions while away, adoption.

use super::fixture::{Story, absent, applied, policy, present, run, seconds, start, start_as, version};
use crate::policy::{Adopted, Baseline, Effect, SkipReason, Suspension};
use crate::watch::{OnDelete, OnFailure, PolicySpec, Reason, RunMode, RunOnLoad, Seq, Verdict};

const QUEUE: RunMode = RunMode::Queue;

fn skip(seq: u64, why: SkipReason) -> Effect {
    Effect::Skip { seq: Seq(seq), why }
}

/// What a first state comes to: the reason that it is started for, or why it is skipped.
fn judged(
    run_on_load: RunOnLoad,
    on_delete: OnDelete,
    baseline: Baseline,
    there: bool,
) -> Result<Reason, SkipReason> {
    let mut story = Story::of(PolicySpec { run_on_load, on_delete, ..policy(QUEUE) });
    let state = if there { present(1) } else { absent(1) };
    let effects = story.first(state, baseline);
    if let [Effect::Skip { why, .. }] = effects[..] {
        return Err(why);
    }
    assert_eq!(effects, [Effect::Acquire]);
    match &story.slot()[..] {
        [Effect::Start { reason, .. }] => Ok(*reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_state_is_judged_by_baseline_and_run_on_load() {
    use Baseline::{Applied, Changed, Interrupted, Pending, Unknown};
    use RunOnLoad::{Always, Never};
    let judge = |run_on_load, baseline| judged(run_on_load, OnDelete::Ignore, baseline, true);
    let (load, skipped) = (Ok(Reason::Load), Err(SkipReason::OnLoad));
    for (baseline, always, never, changed) in [
        (Unknown, load, skipped, load),
        (Applied, load, skipped, skipped),
        (Changed, load, skipped, load),
        (Interrupted, Ok(Reason::Recovery), Ok(Reason::Recovery), Ok(Reason::Recovery)),
        (Pending, Ok(Reason::Change), Ok(Reason::Change), Ok(Reason::Change)),
    ] {
        assert_eq!(judge(Always, baseline), always, "{baseline:?}");
        assert_eq!(judge(Never, baseline), never, "{baseline:?}");
        assert_eq!(judge(RunOnLoad::Changed, baseline), changed, "{baseline:?}");
    }
}

#[test]
fn a_key_that_is_absent_at_load_runs_only_if_it_was_there_before() {
    use Baseline::{Applied, Changed, Interrupted, Pending, Unknown};
    let judge = |on_delete, baseline| judged(RunOnLoad::Always, on_delete, baseline, false);
    let gone = Err(SkipReason::Absent);
    for (baseline, deletion) in [
        (Unknown, gone),
        (Applied, gone),
        (Changed, Ok(Reason::Delete)),
        (Interrupted, Ok(Reason::Recovery)),
        (Pending, Ok(Reason::Delete)),
    ] {
        assert_eq!(judge(OnDelete::Run, baseline), deletion, "{baseline:?}");
        assert_eq!(judge(OnDelete::Ignore, baseline), gone, "{baseline:?}");
    }
    assert_eq!(
        judged(RunOnLoad::Never, OnDelete::Run, Changed, false),
        Err(SkipReason::OnLoad),
        "run_on_load = false holds for deletions while away too"
    );
}

#[test]
fn a_key_that_was_never_there_is_not_deleted() {
    let mut story = Story::of(PolicySpec { on_delete: OnDelete::Run, ..policy(QUEUE) });
    assert_eq!(story.gone(1), [skip(1, SkipReason::Absent)]);
    assert_eq!(story.gone(2), [skip(2, SkipReason::Absent)]);
    assert!(story.machine.converged());
    assert_eq!(story.state(3), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 1)]);
    assert_eq!(story.ends(1, Verdict::Succeeded), [applied(1, 3)]);
    assert_eq!(story.gone(4), [Effect::Acquire]);
    let state = absent(4);
    let (reason, attempt, coalesced) = (Reason::Delete, 1, 1);
    assert_eq!(story.slot(), [Effect::Start { state, reason, attempt, coalesced, run: run(2) }]);
}

#[test]
fn converged_needs_knowledge_or_a_run() {
    let first = |run_on_load, baseline| {
        let mut story = Story::of(PolicySpec { run_on_load, ..policy(QUEUE) });
        drop(story.first(present(1), baseline));
        story.machine.converged()
    };
    assert!(first(RunOnLoad::Changed, Baseline::Applied));
    assert!(first(RunOnLoad::Never, Baseline::Applied));
    assert!(!first(RunOnLoad::Never, Baseline::Unknown));
    assert!(!first(RunOnLoad::Never, Baseline::Changed));
    assert!(!first(RunOnLoad::Always, Baseline::Applied), "it is being applied again");
    assert!(!Story::of(policy(QUEUE)).machine.converged(), "nothing was seen");
}

fn adopting(run_mode: RunMode, given: u64) -> Story {
    let mut story = Story::of(PolicySpec { run_on_load: RunOnLoad::Never, ..policy(run_mode) });
    story.machine.adopt(Adopted {
        run: run(99),
        version: Some(version(given)),
        reason: Reason::Change,
        attempt: 2,
        coalesced: 3,
        started: story.now,
        permit: None,
    });
    story
}

#[test]
fn an_adopted_run_of_the_first_state_is_waited_for_and_repeated() {
    for mode in [QUEUE, RunMode::Discard, RunMode::Restart, RunMode::Parallel { max: 2 }] {
        let mut story = adopting(mode, 1);
        assert_eq!(story.first(present(1), Baseline::Interrupted), []);
        assert_eq!(story.ends(99, Verdict::Unknown), [Effect::Acquire]);
        assert_eq!(story.slot(), [start_as(1, 1, Reason::Recovery, 2, 3)], "{mode:?}");
    }
}

#[test]
fn an_adopted_run_that_ends_before_the_first_state_is_repeated_with_it() {
    let mut story = adopting(QUEUE, 1);
    assert_eq!(story.ends(99, Verdict::Unknown), []);
    assert_eq!(story.first(present(1), Baseline::Applied), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(1, Reason::Recovery, 1)]);
}

#[test]
fn a_newer_state_waits_for_an_adopted_run_and_serves_it() {
    let mut story = adopting(QUEUE, 7);
    assert_eq!(story.first(present(1), Baseline::Interrupted), []);
    assert_eq!(story.state(2), [skip(1, SkipReason::Superseded)]);
    assert_eq!(story.ends(99, Verdict::Unknown), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(1, 2, Reason::Change, 1, 2)]);
}

#[test]
fn an_adopted_run_of_another_state_is_ended_in_restart_mode() {
    use crate::policy::Sent;
    let mut story = adopting(RunMode::Restart, 7);
    let term = Effect::Signal { run: run(99), sent: Sent::Term };
    assert_eq!(story.first(present(1), Baseline::Interrupted), [term]);
}

#[test]
fn an_adopted_run_that_ends_is_repeated_though_the_ledger_knows_its_state_as_applied() {
    let mut story = adopting(QUEUE, 7);
    assert_eq!(story.first(present(1), Baseline::Applied), [skip(1, SkipReason::OnLoad)]);
    assert_eq!(story.ends(99, Verdict::Unknown), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(1, 1, Reason::Recovery, 2, 3)]);
}

#[test]
fn a_state_that_is_not_newer_is_ignored() {
    let mut story = Story::after_load(policy(QUEUE));
    assert_eq!(story.state(1), []);
    assert_eq!(story.state(0), []);
}

#[test]
fn an_adopted_run_is_held_to_timeout_and_interval() {
    use crate::policy::Sent;
    let (timeout, min_interval) = (Some(seconds(10)), seconds(30));
    let mut story = Story::of(PolicySpec { timeout, min_interval, ..policy(QUEUE) });
    let started = story.now;
    story.now += seconds(4);
    let (run, version, reason) = (run(99), Some(version(1)), Reason::Change);
    story.machine.adopt(Adopted {
        run: run.clone(),
        version,
        reason,
        attempt: 1,
        coalesced: 1,
        started,
        permit: None,
    });
    assert_eq!(story.first(present(1), Baseline::Interrupted), []);
    assert_eq!(story.wakes(), Some(10), "counted from its start");
    assert_eq!(story.at(10), [Effect::Signal { run, sent: Sent::Term }]);
    assert_eq!(story.ends(99, Verdict::Unknown), []);
    assert_eq!(story.wakes(), Some(30));
    assert_eq!(story.at(30), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(1, Reason::Recovery, 1)]);
}

#[test]
fn a_watch_that_is_stopped_is_not_stopped_again_by_its_adopted_run() {
    let stopped = Suspension { paused: None, stopped: true };
    let mut story = Story::standing(PolicySpec { on_failure: OnFailure::Stop, ..policy(QUEUE) }, stopped);
    let (run, started, reason) = (run(99), story.now, Reason::Change);
    let version = Some(version(1));
    story.machine.adopt(Adopted { run, version, reason, attempt: 1, coalesced: 1, started, permit: None });
    assert_eq!(story.first(present(1), Baseline::Interrupted), []);
    assert_eq!(story.ends(99, Verdict::Failed), []);
}
