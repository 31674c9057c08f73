//! Starts the `on_give_up` of a watch, once for each state, and ends what a killed daemon left running beside its runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Runs;
use super::hooks::{Hook, HookReport, PREFIX, kill_after};
use crate::ledger::Applied;
use crate::process::{Leftovers, OutputSink, RunCommand, RunDetails, Running};
use crate::watch::{RunId, State, Version, WatchSpec};

impl Runs {
    /// Runs the watch's `on_give_up` for this state, unless it was run for this state before.
    pub(in crate::daemon) fn report(self: &Arc<Self>, spec: &WatchSpec, state: &State, report: HookReport) {
        if spec.on_give_up.is_none() {
            return;
        }
        let waits = |owed: &Applied| self.hooks.waits(&spec.name, owed);
        if let Some(owed) = self.book.owe(spec, state, &report, waits) {
            self.run_hook(spec, state.version, owed, report);
        }
    }

    /// Runs each `on_give_up` that waited for room when a former daemon ended, when its watch is first defined.
    pub(in crate::daemon) fn run_owed_hooks<'a>(
        self: &Arc<Self>,
        watches: impl Iterator<Item = &'a WatchSpec>,
    ) {
        for spec in watches {
            let waits = |owed: &Applied| self.hooks.waits(&spec.name, owed);
            let Some(owed) = self.book.still_owed(spec, waits) else { continue };
            let state = owed.state.clone();
            // Every version that was written can be read.
            if let Ok(version) = state.version.parse() {
                self.run_hook(spec, version, state, HookReport::of(owed));
            }
        }
    }

    fn run_hook(self: &Arc<Self>, spec: &WatchSpec, version: Version, state: Applied, report: HookReport) {
        let Some(program) = &spec.on_give_up else { return };
        let number = self.next_id();
        let details = RunDetails {
            run: RunId(format!("{PREFIX}-{number}").into()),
            reason: report.reason,
            version,
            attempt: report.attempt,
            coalesced: report.coalesced,
            permit: None,
        };
        let hook = Hook { spec: report.spec(spec, program), details, output: report.output };
        self.hooks.live.fetch_add(1, Ordering::AcqRel);
        self.hooks.wait(&spec.name, &state);
        let (runs, name) = (Arc::clone(self), spec.name.clone());
        tokio::spawn(async move {
            let begins = || {
                runs.book.reported(&name, state.clone());
                runs.hooks.begins(&name, &state);
            };
            hook.live(&runs.hooks, &*runs.processes, begins).await;
            runs.hooks.live.fetch_sub(1, Ordering::AcqRel);
            runs.hooks.ended.notify_one();
        });
    }

    /// Ends the `on_give_up` and `validate` of these watches that a killed daemon left running: their time limit is lost,
    /// and a judgement would be dropped. Those of watches that are not loaded yet wait for these. Only a process of the
    /// watch's own user counts: any account can set `TWITCHER_RUN`.
    pub(in crate::daemon) fn end_old_hooks<'a>(&self, watches: impl Iterator<Item = &'a WatchSpec>) {
        for spec in watches {
            self.end_old_hooks_of(spec);
        }
    }

    fn end_old_hooks_of(&self, spec: &WatchSpec) {
        for found in self.hooks.take_old(&spec.name, spec.surroundings.account.uid) {
            let sink = OutputSink::to_log(&Leftovers::default(), &spec.name, &found.run);
            let Some(running) = self.processes.adopt(&found.identity, sink) else { continue };
            let what = found.run.0.split('-').next().unwrap_or_default();
            tracing::warn!(watch = %spec.name, "ending the {what} of a former daemon");
            let patience = spec.policy.kill_after;
            tokio::spawn(async move {
                let Running { commands, ended, .. } = running;
                commands.send(RunCommand::Term { timed_out: false });
                kill_after(patience, &commands, ended).await;
            });
        }
    }
}
