//! Trigger, pause, resume, retire, stop.

use super::fixture::{Story, applied, policy, present, run, seconds, start, start_as};
use crate::policy::{
    Baseline, Control, ControlResult, Effect, Input, Obstacle, Pause, Permission, PermitEffect, Phase,
    Refusal, Sent, SkipReason, Suspension,
};
use crate::watch::{
    Guard, OnFailure, PolicySpec, Reason, Retries, RunMode, RunOnLoad, Seq, Validate, Verdict,
};

const ACCEPTED: Effect = Effect::Answer(ControlResult::Accepted);

fn refused(refusal: Refusal) -> Effect {
    Effect::Answer(ControlResult::Refused(refusal))
}

fn signal(number: u32, sent: Sent) -> Effect {
    Effect::Signal { run: run(number), sent }
}

fn skip(seq: u64, why: SkipReason) -> Effect {
    Effect::Skip { seq: Seq(seq), why }
}

fn trigger(story: &mut Story) -> Vec<Effect> {
    story.input(Input::Control(Control::Trigger(Permission::Needed)))
}

fn resume(story: &mut Story) -> Vec<Effect> {
    story.input(Input::Control(Control::Resume))
}

fn pause(story: &mut Story) -> Vec<Effect> {
    story.input(Input::Control(Control::Pause { until: None }))
}

/// State 2 is being run as run 2.
fn running(policy: PolicySpec) -> Story {
    let mut story = Story::after_load(policy);
    drop(story.state(2));
    assert_eq!(story.slot(), [start(2, Reason::Change, 2)]);
    story
}

#[test]
fn a_trigger_runs_the_current_state_without_waiting() {
    let (settle, settle_max, splay, min_interval) = (seconds(10), seconds(100), seconds(7), seconds(30));
    let slow = PolicySpec { settle, settle_max, splay, min_interval, ..policy(RunMode::Queue) };
    let mut story = Story::after_load(slow);
    assert_eq!(trigger(&mut story), [ACCEPTED, Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(2, 1, Reason::Trigger, 1, 0)]);
}

#[test]
fn a_trigger_and_a_waiting_change_are_one_run() {
    let (settle, settle_max) = (seconds(10), seconds(100));
    let mut story = Story::after_load(PolicySpec { settle, settle_max, ..policy(RunMode::Queue) });
    assert_eq!(story.state(2), []);
    assert_eq!(trigger(&mut story), [ACCEPTED, Effect::Acquire]);
    assert_eq!(story.state(3), [skip(2, SkipReason::Superseded)], "and waits for no quiet");
    assert_eq!(story.slot(), [start_as(2, 3, Reason::Trigger, 1, 2)]);
    assert_eq!(story.ends(2, Verdict::Succeeded), [applied(2, 3)]);
    assert_eq!(story.wakes(), None);
}

#[test]
fn a_trigger_without_a_permit_needs_none_for_a_newer_state_before_its_start() {
    let guard = Guard { validate: Validate::Everything, ..Guard::default() };
    let mut story = Story::of(PolicySpec { guard, ..policy(RunMode::Queue) });
    story.machine.need_permits();
    let (reason, coalesced) = (Reason::Load, 1);
    assert_eq!(story.state(1), [Effect::Validate { state: present(1), reason, coalesced }]);
    let waived = story.input(Input::Control(Control::Trigger(Permission::Waived)));
    assert_eq!(waived, [ACCEPTED]);
    let (reason, coalesced) = (Reason::Trigger, 2);
    let judged = Effect::Validate { state: present(2), reason, coalesced };
    assert_eq!(story.state(2), [skip(1, SkipReason::Superseded), Effect::EndValidation, judged]);
    assert_eq!(story.input(Input::Validated { seq: Seq(2), valid: true }), [Effect::Acquire], "and no ask");
    let judged = Effect::Validate { state: present(3), reason, coalesced: 3 };
    assert_eq!(story.state(3), [skip(2, SkipReason::Superseded), judged, Effect::Release]);
    assert_eq!(story.input(Input::Validated { seq: Seq(3), valid: true }), [Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(1, 3, Reason::Trigger, 1, 3)]);
    assert_eq!(story.ends(1, Verdict::Succeeded), [applied(1, 3)]);
    // The next one needs a permit again.
    drop(story.state(4));
    let asked = story.input(Input::Validated { seq: Seq(4), valid: true });
    assert_eq!(asked, [PermitEffect::Ask { order: Seq(4), swap: false }.into()]);
}

#[test]
fn a_trigger_follows_the_run_mode() {
    let mut queue = running(policy(RunMode::Queue));
    assert_eq!(trigger(&mut queue), [ACCEPTED]);
    assert_eq!(queue.ends(2, Verdict::Failed), [Effect::Acquire]);

    let mut discard = running(policy(RunMode::Discard));
    assert_eq!(trigger(&mut discard), [refused(Refusal::Running)]);
    assert_eq!(discard.ends(2, Verdict::Succeeded), [applied(2, 2)]);

    let mut parallel = running(policy(RunMode::Parallel { max: 2 }));
    assert_eq!(trigger(&mut parallel), [ACCEPTED, Effect::Acquire]);
    assert_eq!(parallel.slot(), [start_as(3, 2, Reason::Trigger, 1, 0)]);

    let mut restart = running(policy(RunMode::Restart));
    assert_eq!(trigger(&mut restart), [ACCEPTED, signal(2, Sent::Term)]);
    assert_eq!(restart.ends(2, Verdict::Failed), [Effect::Acquire]);
    assert_eq!(restart.slot(), [start_as(3, 2, Reason::Trigger, 1, 0)]);
}

#[test]
fn a_parallel_trigger_does_not_overtake_older_states() {
    let mut story = running(policy(RunMode::Parallel { max: 1 }));
    drop(story.state(3));
    drop(story.state(4));
    assert_eq!(trigger(&mut story), [ACCEPTED]);
    assert_eq!(story.state(5), []);
    drop(story.ends(2, Verdict::Succeeded));
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
    drop(story.ends(3, Verdict::Succeeded));
    assert_eq!(story.slot(), [start_as(4, 4, Reason::Trigger, 1, 1)]);
    drop(story.ends(4, Verdict::Succeeded));
    assert_eq!(story.slot(), [start(5, Reason::Change, 5)]);
}

#[test]
fn a_trigger_does_not_wait_for_the_retry_delay_and_begins_anew() {
    let mut story = running(PolicySpec { retries: Retries::AtMost(1), ..policy(RunMode::Queue) });
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(trigger(&mut story), [ACCEPTED, Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(3, 2, Reason::Trigger, 1, 1)]);
    assert_eq!(story.ends(3, Verdict::Failed), []);
    assert_eq!(story.machine.phase(), Phase::Retrying);
}

#[test]
fn a_trigger_is_refused_with_the_reason() {
    let mut story = Story::of(policy(RunMode::Queue));
    assert_eq!(trigger(&mut story), [refused(Refusal::NoState)]);
    drop(story.gone(1));
    assert_eq!(trigger(&mut story), [refused(Refusal::Absent)]);
    drop(pause(&mut story));
    assert_eq!(trigger(&mut story), [refused(Refusal::Paused)]);
    assert_eq!(story.input(Input::Retire { deadline: None }), [Effect::Drained]);
    assert_eq!(trigger(&mut story), [refused(Refusal::Retiring)]);
    let mut stopped = Story::standing(policy(RunMode::Queue), Suspension { paused: None, stopped: true });
    assert_eq!(trigger(&mut stopped), [refused(Refusal::Stopped)]);
}

#[test]
fn a_paused_watch_starts_nothing_and_resumes_with_the_newest() {
    let mut story = Story::after_load(policy(RunMode::Queue));
    assert_eq!(story.state(2), [Effect::Acquire]);
    assert_eq!(pause(&mut story), [ACCEPTED, Effect::Release]);
    assert_eq!(story.slot(), [Effect::Release]);
    assert_eq!(story.state(3), [skip(2, SkipReason::Superseded)]);
    assert_eq!(story.machine.explain(story.now).obstacles, [Obstacle::Paused { until: None }]);
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed, Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(2, 3, Reason::Change, 1, 2)]);
}

#[test]
fn a_pause_ends_by_itself() {
    let mut story = Story::after_load(policy(RunMode::Queue));
    let until = Some(story.begin + seconds(60));
    assert_eq!(story.input(Input::Control(Control::Pause { until })), [ACCEPTED]);
    assert_eq!(story.wakes(), Some(60));
    drop(story.state(2));
    assert_eq!(story.at(59), []);
    assert_eq!(story.at(60), [Effect::Resumed, Effect::Acquire]);
    assert_eq!(story.machine.phase(), Phase::Waiting);
}

#[test]
fn at_the_end_of_a_pause_a_trigger_is_not_refused() {
    let mut story = Story::after_load(policy(RunMode::Queue));
    let until = Some(story.begin + seconds(60));
    drop(story.input(Input::Control(Control::Pause { until })));
    story.now = story.begin + seconds(60);
    assert_eq!(trigger(&mut story), [Effect::Resumed, ACCEPTED, Effect::Acquire]);
}

#[test]
fn a_pause_that_is_over_already_is_none() {
    let mut story = Story::after_load(policy(RunMode::Queue));
    let until = Some(story.begin);
    assert_eq!(story.input(Input::Control(Control::Pause { until })), [ACCEPTED, Effect::Resumed]);
}

#[test]
fn resume_applies_what_was_not_applied_and_nothing_else() {
    // Applied.
    let mut story = Story::after_load(policy(RunMode::Queue));
    drop(pause(&mut story));
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed]);
    assert_eq!(resume(&mut story), [refused(Refusal::NothingToResume)]);
    // Given up.
    let mut story = running(policy(RunMode::Queue));
    drop(story.ends(2, Verdict::Failed));
    drop(pause(&mut story));
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed, Effect::Acquire]);
    assert_eq!(story.slot(), [start(2, Reason::Change, 3)]);
    // Still running.
    let mut story = running(policy(RunMode::Queue));
    drop(pause(&mut story));
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed]);
    assert_eq!(story.ends(2, Verdict::Succeeded), [applied(2, 2)]);
    // Discarded.
    let mut story = running(policy(RunMode::Discard));
    drop(story.state(3));
    drop(pause(&mut story));
    drop(story.ends(2, Verdict::Succeeded));
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed, Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 3)]);
}

#[test]
fn resume_after_a_load_without_run_applies_only_what_is_known_to_differ() {
    for (baseline, applies) in
        [(Baseline::Unknown, false), (Baseline::Applied, false), (Baseline::Changed, true)]
    {
        let never = PolicySpec { run_on_load: RunOnLoad::Never, ..policy(RunMode::Queue) };
        let paused = Suspension { paused: Some(Pause { until: None }), stopped: false };
        let mut story = Story::standing(never, paused);
        assert_eq!(story.first(present(1), baseline), [skip(1, SkipReason::OnLoad)]);
        let effects = resume(&mut story);
        assert_eq!(effects.contains(&Effect::Acquire), applies, "{baseline:?}: {effects:?}");
    }
}

#[test]
fn a_watch_that_is_loaded_paused_runs_its_load_on_resume() {
    let paused = Suspension { paused: Some(Pause { until: None }), stopped: false };
    let mut story = Story::standing(policy(RunMode::Queue), paused);
    assert_eq!(story.state(1), []);
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed, Effect::Acquire]);
    assert_eq!(story.slot(), [start(1, Reason::Load, 1)]);
}

#[test]
fn a_stopped_watch_is_revived_with_the_newest() {
    let mut story = running(PolicySpec { on_failure: OnFailure::Stop, ..policy(RunMode::Queue) });
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Stopped { run: run(2), attempts: 1 }]);
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Revived, Effect::Acquire]);
    assert_eq!(story.slot(), [start(2, Reason::Change, 3)]);
    assert_eq!(story.ends(3, Verdict::Failed), [Effect::Stopped { run: run(3), attempts: 1 }]);
    drop(story.state(3));
    assert_eq!(pause(&mut story), [ACCEPTED]);
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed, Effect::Revived, Effect::Acquire]);
    assert_eq!(story.slot(), [start(3, Reason::Change, 4)]);
}

#[test]
fn the_end_of_a_pause_does_not_revive_a_stopped_watch() {
    let mut story = running(PolicySpec { on_failure: OnFailure::Stop, ..policy(RunMode::Queue) });
    let until = Some(story.begin + seconds(60));
    drop(story.input(Input::Control(Control::Pause { until })));
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Stopped { run: run(2), attempts: 1 }]);
    assert_eq!(story.at(60), [Effect::Resumed]);
    assert_eq!(story.machine.phase(), Phase::Stopped);
}

#[test]
fn a_retry_waits_for_the_end_of_a_pause() {
    let mut story = running(PolicySpec { retries: Retries::AtMost(1), ..policy(RunMode::Queue) });
    drop(pause(&mut story));
    assert_eq!(story.ends(2, Verdict::Failed), []);
    assert_eq!(story.at(100), []);
    assert_eq!(story.wakes(), None);
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed, Effect::Acquire]);
    assert_eq!(story.slot(), [start_as(3, 2, Reason::Retry, 2, 1)]);
}

#[test]
fn restart_ends_no_run_while_paused() {
    let mut story = running(policy(RunMode::Restart));
    drop(pause(&mut story));
    assert_eq!(story.state(3), []);
    assert_eq!(resume(&mut story), [ACCEPTED, Effect::Resumed, signal(2, Sent::Term)]);
}

#[test]
fn a_pause_gathers_what_waits_in_parallel() {
    let mut story = running(policy(RunMode::Parallel { max: 1 }));
    drop(story.state(3));
    drop(story.state(4));
    assert_eq!(pause(&mut story), [ACCEPTED, skip(3, SkipReason::Superseded)]);
    assert_eq!(story.state(5), [skip(4, SkipReason::Superseded)]);
    drop(resume(&mut story));
    drop(story.ends(2, Verdict::Succeeded));
    assert_eq!(story.slot(), [start_as(3, 5, Reason::Change, 1, 3)]);
}

#[test]
fn a_retired_machine_starts_nothing_and_drains_once() {
    let mut story = running(PolicySpec { timeout: Some(seconds(60)), ..policy(RunMode::Queue) });
    drop(story.state(3));
    let grace = Some(story.begin + seconds(20));
    assert_eq!(story.input(Input::Retire { deadline: grace }), [skip(3, SkipReason::Retiring)]);
    assert_eq!(story.wakes(), Some(60), "its own timeout holds");
    assert_eq!(story.state(4), [skip(4, SkipReason::Retiring)]);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Drained]);
    assert_eq!(story.input(Input::Retire { deadline: None }), []);
    assert_eq!(story.state(5), [skip(5, SkipReason::Retiring)]);
    assert_eq!(story.machine.unserved(), Some(&present(5)));
}

#[test]
fn a_retired_run_without_timeout_gets_term_after_the_grace() {
    let mut story = running(policy(RunMode::Queue));
    let grace = Some(story.begin + seconds(20));
    assert_eq!(story.input(Input::Retire { deadline: grace }), []);
    assert_eq!(story.at(20), [signal(2, Sent::Term)]);
    assert_eq!(story.at(25), [signal(2, Sent::Kill)]);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Drained]);
    assert_eq!(story.machine.unserved(), Some(&present(2)));
}

#[test]
fn an_idle_machine_drains_at_once() {
    let mut story = Story::after_load(policy(RunMode::Queue));
    assert_eq!(story.input(Input::Stop { deadline: story.now }), [Effect::Drained]);
    assert_eq!(story.machine.unserved(), None);
}

#[test]
fn a_stopping_daemon_waits_for_runs_until_its_deadline() {
    let mut story = running(PolicySpec { timeout: Some(seconds(600)), ..policy(RunMode::Queue) });
    let deadline = story.begin + seconds(20);
    assert_eq!(story.input(Input::Stop { deadline }), []);
    assert_eq!(story.wakes(), Some(20));
    assert_eq!(story.input(Input::Stop { deadline: story.now }), [signal(2, Sent::Term)], "now");
    assert_eq!(story.input(Input::Stop { deadline: story.now }), [], "TERM once");
    assert_eq!(story.at(5), [signal(2, Sent::Kill)]);
    assert_eq!(story.ends(2, Verdict::Failed), [Effect::Drained]);
}

#[test]
fn unserved_is_what_was_taken_on_and_not_applied() {
    let unserved = |story: &mut Story| {
        drop(story.input(Input::Retire { deadline: None }));
        story.machine.unserved().map(|state| state.seq.0)
    };
    let mut succeeded = running(policy(RunMode::Queue));
    drop(succeeded.ends(2, Verdict::Succeeded));
    assert_eq!(unserved(&mut succeeded), None);
    let mut given_up = running(policy(RunMode::Queue));
    drop(given_up.ends(2, Verdict::Failed));
    assert_eq!(unserved(&mut given_up), None);
    let mut stopped = running(PolicySpec { on_failure: OnFailure::Stop, ..policy(RunMode::Queue) });
    drop(stopped.ends(2, Verdict::Failed));
    assert_eq!(unserved(&mut stopped), Some(2), "a stop lasts until the definition changes");
    let mut retrying = running(PolicySpec { retries: Retries::Unlimited, ..policy(RunMode::Queue) });
    drop(retrying.ends(2, Verdict::Failed));
    assert_eq!(unserved(&mut retrying), Some(2));
    let mut discarded = running(policy(RunMode::Discard));
    drop(discarded.state(3));
    drop(discarded.ends(2, Verdict::Succeeded));
    assert_eq!(unserved(&mut discarded), None);
    let mut noted = Story::of(PolicySpec { run_on_load: RunOnLoad::Never, ..policy(RunMode::Queue) });
    drop(noted.state(1));
    assert_eq!(unserved(&mut noted), None);
    let mut late = Story::of(policy(RunMode::Queue));
    drop(late.input(Input::Retire { deadline: None }));
    drop(late.state(1));
    assert_eq!(late.machine.unserved(), None, "the successor judges it by itself");
}
