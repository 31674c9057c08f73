//! Wrong decisions of the twitcher of 2010, each with a test that it would fail.

use super::fixture::{Story, policy, run, seconds, start};
use crate::policy::{Effect, Sent, SkipReason};
use crate::watch::{PolicySpec, Reason, RunMode, Seq, SignalNumber, Verdict};

#[test]
fn kill_follows_term() {
    // It forgot that TERM was sent, so KILL never followed.
    let timeout = Some(seconds(30));
    let mut story = Story::after_load(PolicySpec { timeout, ..policy(RunMode::Discard) });
    drop(story.state(2));
    drop(story.slot());
    assert_eq!(story.at(30), [Effect::Signal { run: run(2), sent: Sent::Term }]);
    assert_eq!(story.at(35), [Effect::Signal { run: run(2), sent: Sent::Kill }]);
}

#[test]
fn a_discarded_update_is_discarded_once() {
    // It remembered the discarded update and ran it again at every exit.
    let mut story = Story::after_load(policy(RunMode::Discard));
    drop(story.state(2));
    drop(story.slot());
    let why = SkipReason::Discarded;
    assert_eq!(story.state(3), [Effect::Skip { seq: Seq(3), why }]);
    assert_eq!(story.ends(2, Verdict::Succeeded).len(), 1, "applied, and nothing else");
    assert_eq!(story.state(4), [Effect::Acquire]);
    assert_eq!(story.slot(), [start(4, Reason::Change, 3)]);
    assert_eq!(story.ends(3, Verdict::Succeeded).len(), 1);
    assert_eq!(story.wakes(), None);
}

#[test]
fn an_update_runs_once() {
    // Without standard input it ran once for the event and once more for the value.
    for mode in [RunMode::Queue, RunMode::Discard, RunMode::Restart, RunMode::Parallel { max: 4 }] {
        let mut story = Story::after_load(policy(mode));
        assert_eq!(story.state(2), [Effect::Acquire]);
        assert_eq!(story.slot(), [start(2, Reason::Change, 2)], "{mode:?}");
        assert_eq!(story.slot(), [Effect::Release], "{mode:?}");
    }
}

#[test]
fn a_process_that_ended_is_not_signalled() {
    // It signalled pids that belonged to other processes by then.
    let notify_signal = Some(SignalNumber(1));
    let timeout = Some(seconds(30));
    let mut story = Story::after_load(PolicySpec { notify_signal, timeout, ..policy(RunMode::Queue) });
    drop(story.state(2));
    drop(story.slot());
    drop(story.ends(2, Verdict::Failed));
    assert_eq!(story.state(3), [Effect::Acquire]);
    assert_eq!(story.at(30), []);
}
