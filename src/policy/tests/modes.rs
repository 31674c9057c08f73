//! What an update does while the action runs, mode by mode.

use super::fixture::{Story, absent, applied, policy, run, seconds, start, start_as};
use crate::policy::admission::MOST_WAITING;
use crate::policy::{Baseline, Control, Effect, Input, Sent, SkipReason};
use crate::watch::{OnDelete, PolicySpec, Reason, RunMode, Seq, SignalNumber, Verdict};

fn skip(seq: u64, why: SkipReason) -> Effect {
    Effect::Skip { seq: Seq(seq), why }
}

fn signal(number: u32, sent: Sent) -> Effect {
    Effect::Signal { run: run(number), sent }
}

/// State 2 is being run as run 2.
fn running(policy: PolicySpec) -> Story {
    let mut story = Story::after_load(policy);
    assert_eq!(story.state(2), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(2, Reason::Change, 2)]);
    story
}

#[test]
fn queue_runs_once_more_with_the_newest() {
    let mut story = running(policy(RunMode::Queue));
    assert_eq!(story.state(3), []);
    assert_eq!(story.state(4), [skip(3, SkipReason::Superseded)]);
    assert_eq!(story.ends(2, Verdict::Succeeded), [applied(2, 2), Effect::Acquire]);
    assert_eq!(story.state(5), [skip(4, SkipReason::Superseded)]);
    assert_eq!(story.slot(), [start_as(3, 5, Reason::Change, 1, 3)]);
    assert_eq!(story.ends(3, Verdict::Succeeded), [applied(3, 5)]);
    assert!(story.machine.converged());
}

#[test]
fn queue_tells_the_running_process_of_each_update() {
    let notify_signal = Some(SignalNumber(1));
    let timeout = Some(seconds(10));
    let mut story = running(PolicySpec { notify_signal, timeout, ..policy(RunMode::Queue) });
    assert_eq!(story.state(3), [signal(2, Sent::Notify)]);
    assert_eq!(story.state(4), [signal(2, Sent::Notify), skip(3, SkipReason::Superseded)]);
    assert_eq!(story.gone(5), [skip(4, SkipReason::Superseded), skip(5, SkipReason::Absent)]);
    assert_eq!(story.at(10), [signal(2, Sent::Term)]);
    assert_eq!(story.state(6), [], "it is on its way out");
}

#[test]
fn only_queue_tells() {
    for mode in [RunMode::Discard, RunMode::Restart, RunMode::Parallel { max: 1 }] {
        let mut story = running(PolicySpec { notify_signal: Some(SignalNumber(1)), ..policy(mode) });
        assert!(!story.state(3).contains(&signal(2, Sent::Notify)), "{mode:?}");
    }
}

#[test]
fn discard_skips_while_running_and_not_otherwise() {
    let timeout = Some(seconds(10));
    let mut story = running(PolicySpec { timeout, ..policy(RunMode::Discard) });
    assert_eq!(story.state(3), [skip(3, SkipReason::Discarded)]);
    assert_eq!(story.at(10), [signal(2, Sent::Term)]);
    assert_eq!(story.state(4), [skip(4, SkipReason::Discarded)], "being ended is running");
    assert_eq!(story.ends(2, Verdict::Succeeded), [applied(2, 2)]);
    assert!(!story.machine.converged());
    assert_eq!(story.state(5), [Effect::Acquire]);
    assert_eq!(story.state(6), [skip(5, SkipReason::Superseded)], "nothing runs while it waits");
    assert_eq!(story.slot(), [start_as(3, 6, Reason::Change, 1, 2)]);
}

#[test]
fn restart_ends_the_run_at_once_and_starts_the_newest() {
    let mut story = running(policy(RunMode::Restart));
    assert_eq!(story.state(3), [signal(2, Sent::Term)]);
    assert_eq!(story.state(4), [skip(3, SkipReason::Superseded)], "TERM once");
    assert_eq!(story.wakes(), Some(5));
    assert_eq!(story.at(5), [signal(2, Sent::Kill)]);
    assert_eq!(story.wakes(), None);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(3, 4, Reason::Change, 1, 2)]);
}

#[test]
fn restart_ends_no_run_for_an_ignored_deletion() {
    let mut story = running(policy(RunMode::Restart));
    assert_eq!(story.gone(3), [skip(3, SkipReason::Absent)]);
    assert_eq!(story.ends(2, Verdict::Failed), [], "and what failed is not run with what is gone");
}

#[test]
fn parallel_runs_every_update_in_order_up_to_its_cap() {
    let mut story = running(policy(RunMode::Parallel { max: 2 }));
    assert_eq!(story.state(3), [Effect::Acquire]);
    assert_eq!(story.state(4), []);
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
    assert_eq!(story.state(5), []);
    assert_eq!(story.ends(3, Verdict::Succeeded), [applied(3, 3), Effect::Acquire]);
    assert_eq!(story.slot(), [start(4, Reason::Change, 4)]);
    assert_eq!(story.ends(2, Verdict::Succeeded), [Effect::Acquire], "3 was applied: 2 is no news");
    assert_eq!(story.slot(), [start(5, Reason::Change, 5)]);
    assert_eq!(story.ends(5, Verdict::Succeeded), [applied(5, 5)]);
}

#[test]
fn parallel_asks_for_one_slot_after_the_other() {
    let mut story = Story::after_load(policy(RunMode::Parallel { max: 3 }));
    assert_eq!(story.state(2), [Effect::Acquire]);
    assert_eq!(story.state(3), []);
    assert_eq!(story.slot(), [start(2, Reason::Change, 2), Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
}

#[test]
fn parallel_keeps_what_waits_bounded_and_counted() {
    let mut story = running(policy(RunMode::Parallel { max: 1 }));
    let most = u64::try_from(MOST_WAITING).unwrap();
    for seq in 3..3 + most {
        assert_eq!(story.state(seq), []);
    }
    let last = 3 + most;
    assert_eq!(story.state(last), [skip(last - 1, SkipReason::Superseded)]);
    assert_eq!(story.state(last + 1), [skip(last, SkipReason::Superseded)]);
    let mut started = Vec::new();
    for number in 2.. {
        if story.ends(number, Verdict::Succeeded).last() != Some(&Effect::Acquire) {
            break;
        }
        match &story.slot()[..] {
            [Effect::Start { state, coalesced, .. }] => started.push((state.seq.0, *coalesced)),
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<_> = (3..2 + most).map(|seq| (seq, 1)).chain([(last + 1, 3)]).collect();
    assert_eq!(started, expected);
}

#[test]
fn parallel_runs_what_came_before_an_ignored_deletion() {
    let mut story = running(policy(RunMode::Parallel { max: 1 }));
    assert_eq!(story.state(3), []);
    assert_eq!(story.gone(4), [skip(4, SkipReason::Absent)]);
    assert_eq!(story.ends(2, Verdict::Succeeded), [applied(2, 2), Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
}

#[test]
fn an_ignored_deletion_takes_out_what_waited_and_the_next_run_stands_for_it() {
    let mut story = running(policy(RunMode::Queue));
    assert_eq!(story.state(3), []);
    assert_eq!(story.gone(4), [skip(3, SkipReason::Superseded), skip(4, SkipReason::Absent)]);
    assert_eq!(story.ends(2, Verdict::Succeeded), [applied(2, 2)]);
    assert!(story.machine.converged(), "there is nothing to apply");
    assert_eq!(story.state(5), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(3, 5, Reason::Change, 1, 2)]);
}

#[test]
fn a_slot_is_given_back_when_there_is_nothing_to_run_any_more() {
    let mut story = Story::after_load(policy(RunMode::Queue));
    assert_eq!(story.state(2), [Effect::Acquire]);
    let effects = [skip(2, SkipReason::Superseded), skip(3, SkipReason::Absent), Effect::Release];
    assert_eq!(story.gone(3), effects);
    assert_eq!(story.slot(), [Effect::Release], "it was on its way");
}

#[test]
fn a_deletion_runs_where_it_is_asked_for() {
    let mut story = running(PolicySpec { on_delete: OnDelete::Run, ..policy(RunMode::Queue) });
    assert_eq!(story.gone(3), []);
    assert_eq!(story.ends(2, Verdict::Succeeded), [applied(2, 2), Effect::Acquire]);
    let (state, reason, attempt, coalesced) = (absent(3), Reason::Delete, 1, 1);
    assert_eq!(story.slot(), [Effect::Start { state, reason, attempt, coalesced, run: run(3) }]);
    assert_eq!(story.ends(3, Verdict::Succeeded), [applied(3, 3)]);
}

#[test]
fn updates_are_counted_as_the_store_counts_them() {
    let mut story = running(policy(RunMode::Queue));
    for seq in [3, 4] {
        let state = super::fixture::present(seq);
        drop(story.input(Input::State { state, updates: 5, baseline: Baseline::Unknown }));
    }
    drop(story.ends(2, Verdict::Succeeded));
    assert_eq!(story.slot(), [start_as(3, 4, Reason::Change, 1, 10)]);
}

#[test]
fn late_and_unknown_inputs_are_harmless() {
    let mut story = running(policy(RunMode::Queue));
    assert_eq!(story.ends(1, Verdict::Failed), []);
    assert_eq!(story.ends(77, Verdict::Succeeded), []);
    assert_eq!(story.slot(), [Effect::Release]);
    assert_eq!(story.input(Input::Wakeup), []);
    let resume = story.input(Input::Control(Control::Resume));
    assert!(matches!(resume[..], [Effect::Answer(_)]), "{resume:?}");
}
