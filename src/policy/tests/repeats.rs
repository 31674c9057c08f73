//! Retries, recoveries, giving up.

use super::fixture::{Story, absent, applied, policy, present, run, seconds, start, start_as};
use crate::policy::{Disposition, Effect, Input, Phase, Sent, SkipReason};
use crate::watch::{OnDelete, OnFailure, PolicySpec, Reason, Retries, RunMode, Seq, Verdict};

const MODES: [RunMode; 4] =
    [RunMode::Queue, RunMode::Discard, RunMode::Restart, RunMode::Parallel { max: 2 }];

fn retrying(run_mode: RunMode, retries: u32) -> PolicySpec {
    PolicySpec { retries: Retries::AtMost(retries), ..policy(run_mode) }
}

/// State 2 is being run as run 2.
fn running(policy: PolicySpec) -> Story {
    let mut story = Story::after_load(policy);
    drop(story.state(2));
    assert_eq!(story.slot(), [start(2, Reason::Change, 2)]);
    story
}

#[test]
fn a_failed_run_is_repeated_after_growing_delays_and_given_up() {
    for mode in MODES {
        let mut story = running(retrying(mode, 2));
        assert_eq!(story.ends(2, Verdict::Failed), []);
        assert_eq!(story.machine.phase(), Phase::Retrying);
        assert_eq!(story.wakes(), Some(4));
        assert_eq!(story.at(4), [Effect::Acquire]);
        assert_eq!(story.slot(), [start_as(3, 2, Reason::Retry, 2, 1)]);
        assert_eq!(story.ends(3, Verdict::Failed), []);
        assert_eq!(story.wakes(), Some(12));
        assert_eq!(story.at(12), [Effect::Acquire]);
        assert_eq!(story.slot(), [start_as(4, 2, Reason::Retry, 3, 1)]);
        assert_eq!(story.ends(4, Verdict::Failed), [Effect::GaveUp { run: run(4), attempts: 3 }], "{mode:?}");
        assert_eq!(story.machine.phase(), Phase::Failed);
        assert_eq!(story.wakes(), None);
        assert!(!story.machine.converged());
        assert_eq!(story.state(3), [Effect::Acquire], "the watch is kept");
    }
}

#[test]
fn unlimited_retries_go_on() {
    let mut story = running(PolicySpec { retries: Retries::Unlimited, ..policy(RunMode::Queue) });
    for number in 2..40 {
        assert_eq!(story.ends(number, Verdict::Failed), []);
        let wakes = story.wakes().unwrap();
        assert_eq!(story.at(wakes), [Effect::Acquire]);
        assert_eq!(story.slot(), [start_as(number + 1, 2, Reason::Retry, number, 1)]);
    }
}

#[test]
fn after_the_last_retry_a_watch_may_stop() {
    let mut story = running(PolicySpec { on_failure: OnFailure::Stop, ..retrying(RunMode::Queue, 0) });
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Stopped { run: run(2), attempts: 1 }]);
    assert_eq!(story.machine.phase(), Phase::Stopped);
    assert_eq!(story.state(3), [], "kept, not started");
    assert_eq!(story.at(1000), []);
}

#[test]
fn a_newer_state_supersedes_the_retry() {
    for mode in MODES {
        let mut story = running(retrying(mode, 2));
        assert_eq!(story.ends(2, Verdict::Failed), []);
        assert_eq!(story.state(3), [Effect::Acquire], "no delay, and 2 had its fate");
        assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
        assert_eq!(story.ends(3, Verdict::Failed), []);
        assert_eq!(story.wakes(), Some(4), "{mode:?}: counted from one again");
    }
}

#[test]
fn a_newer_state_that_waits_supersedes_the_failure() {
    let mut story = running(PolicySpec { on_failure: OnFailure::Stop, ..retrying(RunMode::Queue, 0) });
    assert_eq!(story.state(3), []);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Acquire], "not stopped");
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
}

#[test]
fn what_restart_ended_is_not_a_failure() {
    let mut story = running(PolicySpec { on_failure: OnFailure::Stop, ..retrying(RunMode::Restart, 0) });
    assert_eq!(story.state(3), [Effect::Signal { run: run(2), sent: Sent::Term }]);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
}

#[test]
fn a_deletion_ends_retrying() {
    let mut story = running(retrying(RunMode::Queue, 2));
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.gone(3), [Effect::Skip { seq: Seq(3), why: SkipReason::Absent }]);
    assert_eq!(story.wakes(), None);
    assert!(story.machine.converged());
}

#[test]
fn discard_repeats_with_the_newest_it_knows() {
    let mut story = running(PolicySpec { on_delete: OnDelete::Run, ..retrying(RunMode::Discard, 1) });
    drop(story.state(3));
    drop(story.state(4));
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.at(4), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(3, 4, Reason::Retry, 2, 3)]);
    drop(story.gone(5));
    assert_eq!(story.ends(3, Verdict::Failed), [Effect::GaveUp { run: run(3), attempts: 2 }]);
    assert_eq!(story.machine.explain(story.now).newest.unwrap().disposition, Disposition::GivenUp);
}

#[test]
fn discard_repeats_a_deletion_too() {
    let mut story = running(PolicySpec { on_delete: OnDelete::Run, ..retrying(RunMode::Discard, 1) });
    drop(story.gone(3));
    drop(story.ends(2, Verdict::Failed));
    drop(story.at(4));
    let (state, reason, attempt, coalesced) = (absent(3), Reason::Retry, 2, 2);
    assert_eq!(story.slot(), [Effect::Start { state, reason, attempt, coalesced, run: run(3) }]);
}

#[test]
fn parallel_repeats_only_the_newest() {
    let mut story = running(retrying(RunMode::Parallel { max: 2 }, 1));
    drop(story.state(3));
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.wakes(), None);
    assert_eq!(story.ends(3, Verdict::Failed), []);
    assert_eq!(story.wakes(), Some(4));
    assert_eq!(story.at(4), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(4, 3, Reason::Retry, 2, 1)]);
}

#[test]
fn a_retry_keeps_the_interval_and_does_not_splay() {
    let (min_interval, splay) = (seconds(30), seconds(7));
    let mut story = running(retrying(RunMode::Queue, 1));
    story.machine.policy = PolicySpec { splay, min_interval, ..retrying(RunMode::Queue, 1) }.into();
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.at(4), []);
    assert_eq!(story.wakes(), Some(30));
    assert_eq!(story.at(30), [Effect::Acquire]);
}

#[test]
fn a_lost_run_is_recovered_and_is_no_failure() {
    let mut story = running(PolicySpec { on_failure: OnFailure::Stop, ..retrying(RunMode::Queue, 0) });
    assert_eq!(story.ends(2, Verdict::Unknown), []);
    assert_eq!(story.at(4), [Effect::Acquire], "after a delay, lest it spins");
    assert_eq!(story.slot(), [start_as(3, 2, Reason::Recovery, 1, 1)]);
}

#[test]
fn a_lost_run_with_a_newer_state_is_served_by_that() {
    let mut story = running(policy(RunMode::Queue));
    drop(story.state(3));
    assert_eq!(story.ends(2, Verdict::Unknown), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
    assert_eq!(story.ends(3, Verdict::Succeeded), [applied(3, 3)]);
}

#[test]
fn repeated_state_is_the_same_value() {
    let mut story = running(retrying(RunMode::Queue, 1));
    drop(story.ends(2, Verdict::Failed));
    drop(story.at(4));
    match &story.slot()[..] {
        [Effect::Start { state, .. }] => assert_eq!(*state, present(2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_start_that_the_daemon_could_not_make_is_no_failure_and_is_tried_again() {
    for mode in MODES {
        // There is no retry to be used up.
        let mut story = Story::after_load(PolicySpec { min_interval: seconds(600), ..policy(mode) });
        story.machine.last_start = None;
        assert_eq!(story.state(2), [Effect::Acquire], "{mode:?}");
        assert_eq!(story.slot(), [start(2, Reason::Change, 2)]);
        // The delay doubles up to a minute; the interval counts from starts that were made.
        let mut now = 0;
        for (number, delay) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            let number = u32::try_from(number).unwrap() + 2;
            assert_eq!(story.input(Input::Prevented(run(number))), [], "{mode:?}");
            assert_eq!((story.machine.phase(), story.machine.converged()), (Phase::Retrying, false));
            assert!(!story.machine.gave_up());
            now += delay;
            assert_eq!(story.wakes(), Some(now), "{mode:?}");
            assert_eq!(story.at(now), [Effect::Acquire]);
            assert_eq!(story.slot(), [start(2, Reason::Change, number + 1)], "the same run, not a retry");
        }
        assert_eq!(story.ends(10, Verdict::Succeeded), [applied(10, 2)]);
        assert!(story.machine.converged());
    }
}

#[test]
fn a_newer_state_is_tried_at_once_and_covers_what_was_prevented() {
    let mut story = Story::after_load(policy(RunMode::Queue));
    drop(story.state(2));
    drop(story.slot());
    assert_eq!(story.input(Input::Prevented(run(2))), []);
    let skipped = Effect::Skip { seq: Seq(2), why: SkipReason::Superseded };
    assert_eq!(story.state(3), [skipped, Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(3, 3, Reason::Change, 1, 2)]);
}

#[test]
fn a_retry_that_is_prevented_stays_the_same_retry() {
    let mut story = Story::after_load(PolicySpec { retries: Retries::AtMost(1), ..policy(RunMode::Queue) });
    drop(story.state(2));
    drop(story.slot());
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.at(4), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(3, 2, Reason::Retry, 2, 1)]);
    assert_eq!(story.input(Input::Prevented(run(3))), []);
    assert_eq!(story.at(5), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(4, 2, Reason::Retry, 2, 1)]);
    assert_eq!(story.ends(4, Verdict::Failed), [Effect::GaveUp { run: run(4), attempts: 2 }]);
}

#[test]
fn in_parallel_mode_a_prevented_state_keeps_its_place() {
    let mut story = Story::after_load(policy(RunMode::Parallel { max: 2 }));
    drop(story.state(2));
    drop(story.state(3));
    assert_eq!(story.slot(), [start(2, Reason::Change, 2), Effect::Acquire]);
    assert_eq!(story.input(Input::Prevented(run(2))), [Effect::Release]);
    assert_eq!(story.at(1), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(2, Reason::Change, 3), Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 4)]);
}
