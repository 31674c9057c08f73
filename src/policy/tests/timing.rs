//! Settle, splay, interval, timeouts: what is waited for, how long and in which order.

use super::fixture::{Story, policy, run, seconds, start, start_as};
use crate::policy::{Effect, Obstacle, Phase, Sent, SkipReason};
use crate::watch::{PolicySpec, Reason, RunMode, Seq, Verdict};

fn superseded(seq: u64) -> Effect {
    Effect::Skip { seq: Seq(seq), why: SkipReason::Superseded }
}

fn signal(number: u32, sent: Sent) -> Effect {
    Effect::Signal { run: run(number), sent }
}

fn settling(run_mode: RunMode) -> PolicySpec {
    PolicySpec { settle: seconds(10), settle_max: seconds(25), ..policy(run_mode) }
}

#[test]
fn settle_waits_for_quiet() {
    for mode in [RunMode::Queue, RunMode::Discard, RunMode::Restart, RunMode::Parallel { max: 2 }] {
        let mut story = Story::after_load(settling(mode));
        assert_eq!(story.state(2), []);
        assert_eq!(story.machine.phase(), Phase::Settling);
        assert_eq!(story.wakes(), Some(10));
        assert_eq!(story.at(9), []);
        assert_eq!(story.state(3), [superseded(2)]);
        assert_eq!(story.wakes(), Some(19));
        assert_eq!(story.at(10), []);
        assert_eq!(story.at(19), [Effect::Acquire]);
        assert_eq!(story.slot(), [start_as(2, 3, Reason::Change, 1, 2)], "{mode:?}");
    }
}

#[test]
fn settle_waits_no_longer_than_its_maximum() {
    let mut story = Story::after_load(settling(RunMode::Queue));
    for (seq, at) in [(2, 0), (3, 9), (4, 18), (5, 24)] {
        assert_eq!(story.at(at), []);
        drop(story.state(seq));
    }
    assert_eq!(story.wakes(), Some(25));
    assert_eq!(story.at(25), [Effect::Acquire]);
    assert_eq!(story.state(6), [superseded(5)], "there is no quiet to wait for any more");
    assert_eq!(story.slot(), [start_as(2, 6, Reason::Change, 1, 5)]);
}

#[test]
fn settle_goes_on_while_the_action_runs() {
    let mut story = Story::after_load(settling(RunMode::Queue));
    drop(story.state(2));
    drop(story.at(10));
    drop(story.slot());
    assert_eq!(story.at(12), []);
    assert_eq!(story.state(3), []);
    assert_eq!(story.at(15), []);
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.wakes(), Some(22));
}

#[test]
fn an_update_takes_the_slot_request_back_until_it_is_quiet_again() {
    let mut story = Story::after_load(settling(RunMode::Queue));
    drop(story.state(2));
    assert_eq!(story.at(10), [Effect::Acquire]);
    assert_eq!(story.at(12), []);
    assert_eq!(story.state(3), [superseded(2), Effect::Release]);
    assert_eq!(story.at(22), [Effect::Acquire]);
}

#[test]
fn splay_follows_settle_once_and_uses_the_newest() {
    let mut story = Story::after_load(PolicySpec { splay: seconds(7), ..settling(RunMode::Queue) });
    drop(story.state(2));
    assert_eq!(story.at(10), []);
    assert_eq!(story.machine.phase(), Phase::Splaying);
    assert_eq!(story.wakes(), Some(17));
    assert_eq!(story.at(15), []);
    assert_eq!(story.state(3), [superseded(2)]);
    assert_eq!(story.machine.phase(), Phase::Settling);
    assert_eq!(story.wakes(), Some(25), "quiet again by the maximum, and no second splay");
    assert_eq!(story.at(25), [Effect::Acquire]);
    assert_eq!(story.machine.phase(), Phase::Waiting);
    assert_eq!(story.slot(), [start_as(2, 3, Reason::Change, 1, 2)]);
}

#[test]
fn splay_counts_from_the_end_of_settling_also_for_a_late_waker() {
    let mut story = Story::after_load(PolicySpec { splay: seconds(7), ..settling(RunMode::Queue) });
    drop(story.state(2));
    assert_eq!(story.at(16), []);
    assert_eq!(story.wakes(), Some(17));
}

#[test]
fn splay_delays_loads_and_every_parallel_update_but_no_retry_and_no_trigger() {
    let splay = PolicySpec { splay: seconds(7), ..policy(RunMode::Parallel { max: 9 }) };
    let mut story = Story::of(splay.clone());
    assert_eq!(story.state(1), []);
    assert_eq!(story.wakes(), Some(7));
    assert_eq!(story.at(2), []);
    assert_eq!(story.state(2), []);
    assert_eq!(story.at(7), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(1, Reason::Load, 1)]);
    assert_eq!(story.wakes(), Some(9));
    assert_eq!(story.at(9), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(2, Reason::Change, 2)]);
}

#[test]
fn starts_are_an_interval_apart() {
    let mut story = Story::after_load(PolicySpec { min_interval: seconds(30), ..policy(RunMode::Queue) });
    assert_eq!(story.at(4), []);
    assert_eq!(story.state(2), []);
    assert_eq!(story.machine.phase(), Phase::Waiting);
    let interval = Obstacle::Interval { until: story.begin + seconds(30) };
    assert_eq!(story.machine.explain(story.now).obstacles, [interval]);
    assert_eq!(story.state(3), [superseded(2)]);
    assert_eq!(story.wakes(), Some(30));
    assert_eq!(story.at(30), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(2, 3, Reason::Change, 1, 2)]);
    assert_eq!(story.ends(2, Verdict::Succeeded).len(), 1);
    assert_eq!(story.at(100), []);
    assert_eq!(story.state(4), [Effect::Acquire], "it holds nothing back that comes later");
}

#[test]
fn a_run_in_the_way_is_not_woken_up_for() {
    let mut story = Story::after_load(PolicySpec { min_interval: seconds(30), ..policy(RunMode::Queue) });
    assert_eq!(story.at(30), []);
    drop(story.state(2));
    drop(story.slot());
    drop(story.state(3));
    assert_eq!(story.wakes(), None);
    assert_eq!(story.machine.explain(story.now).obstacles.len(), 2);
    assert_eq!(story.at(40), []);
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.wakes(), Some(60));
}

#[test]
fn a_timeout_is_term_and_then_kill() {
    let mut story = Story::after_load(PolicySpec { timeout: Some(seconds(60)), ..policy(RunMode::Queue) });
    drop(story.state(2));
    drop(story.slot());
    assert_eq!(story.wakes(), Some(60));
    assert_eq!(story.at(59), []);
    assert_eq!(story.at(60), [signal(2, Sent::Term)]);
    assert_eq!(story.wakes(), Some(65));
    assert_eq!(story.at(64), []);
    assert_eq!(story.at(65), [signal(2, Sent::Kill)]);
    assert_eq!(story.wakes(), None);
    assert_eq!(story.at(1000), []);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::GaveUp { run: run(2), attempts: 1 }]);
}

#[test]
fn a_late_waker_still_leaves_the_time_between_term_and_kill() {
    let mut story = Story::after_load(PolicySpec { timeout: Some(seconds(60)), ..policy(RunMode::Queue) });
    drop(story.state(2));
    drop(story.slot());
    assert_eq!(story.at(300), [signal(2, Sent::Term)]);
    assert_eq!(story.wakes(), Some(305));
}

#[test]
fn without_time_to_clean_up_kill_follows_term_at_once() {
    let (timeout, kill_after) = (Some(seconds(60)), seconds(0));
    let mut story = Story::after_load(PolicySpec { timeout, kill_after, ..policy(RunMode::Queue) });
    drop(story.state(2));
    drop(story.slot());
    assert_eq!(story.at(60), [signal(2, Sent::Term), signal(2, Sent::Kill)]);
}

#[test]
fn a_run_that_ended_in_time_is_not_signalled_late() {
    let mut story = Story::after_load(PolicySpec { timeout: Some(seconds(60)), ..policy(RunMode::Queue) });
    drop(story.state(2));
    drop(story.slot());
    story.now = story.begin + seconds(61);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::GaveUp { run: run(2), attempts: 1 }]);
}

#[test]
fn durations_beyond_the_clock_mean_never() {
    let never = std::time::Duration::MAX;
    let (settle, settle_max, timeout) = (never, never, Some(never));
    let mut story = Story::after_load(PolicySpec { timeout, settle, settle_max, ..policy(RunMode::Queue) });
    assert_eq!(story.state(2), []);
    assert_eq!(story.at(1_000_000), []);
}

#[test]
fn a_slot_that_was_not_asked_for_starts_nothing_even_if_one_is_due() {
    let mut story = Story::after_load(PolicySpec { min_interval: seconds(30), ..policy(RunMode::Queue) });
    drop(story.state(2));
    story.now = story.begin + seconds(30);
    assert_eq!(story.slot(), [Effect::Release, Effect::Acquire]);
}

/// The clock that TERM is due by decides, so that a slow start makes no time-out a kill.
#[test]
fn a_run_is_overdue_from_the_moment_that_its_term_is_due() {
    let mut story = Story::after_load(PolicySpec { timeout: Some(seconds(10)), ..policy(RunMode::Queue) });
    drop(story.state(2));
    drop(story.slot());
    let due = story.now + seconds(10);
    assert!(!story.machine.is_overdue(&run(2), story.now + seconds(9)));
    assert_eq!(story.at(10), [signal(2, Sent::Term)]);
    assert!(story.machine.is_overdue(&run(2), story.now));
    assert!(!story.machine.is_overdue(&run(7), due + seconds(1)), "no such run");
}
