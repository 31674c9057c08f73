//! Runs of a former daemon whose watches are not defined any more: their output is read, they are waited for and
//! written off, or they go to their watch if it is defined again meanwhile.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::ground::{Counted, Ground};
use super::live::fingerprint;
use crate::ledger::LiveRun;
use crate::process::{Ended, Leftovers, OutputSink, RunCommand, Running};
use crate::watch::{RunId, RunRecord, WatchName, WatchSpec};

/// How long after TERM such a run gets KILL: the default of `kill_after`, since its definition is not known.
pub(super) const KILL_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Orphans {
    runs: Mutex<Vec<Orphan>>,
    leftovers: Leftovers,
}

#[derive(Debug)]
struct Orphan {
    watch: WatchName,
    live: LiveRun,
    running: Running,
    counted: Counted,
}

impl Orphans {
    /// Takes over what the ledger knows to run of watches that are not `defined`.
    pub(super) fn adopt(&self, ground: &Ground, defined: impl Fn(&WatchName) -> bool) {
        for (watch, live) in ground.ledger.live_runs().into_iter().filter(|(watch, _)| !defined(watch)) {
            let sink = OutputSink::to_log(&self.leftovers, &watch, &live.run);
            let pid = live.process.pid;
            if let Some(running) = ground.spawner.adopt(&live.process, sink) {
                tracing::warn!(watch = %watch, run = %live.run, "waiting for process {pid} of a watch that is not defined any more");
                let counted = ground.count_run();
                self.runs().push(Orphan { watch, live, running, counted });
            } else {
                tracing::warn!(watch = %watch, run = %live.run, "the run did not outlive the daemon, and its watch is not defined any more");
                ground.ledger.interrupted(&watch, &live.run, &live.target);
            }
        }
    }

    /// Gives a watch its runs: those under its own name, and those of one that it has taken the place of, because
    /// it means the same under another name.
    pub(super) fn claim(&self, ground: &Ground, spec: &WatchSpec) -> BTreeMap<RunId, Running> {
        let mut runs = self.runs();
        if runs.is_empty() {
            return BTreeMap::new();
        }
        let definition = fingerprint(spec);
        let its = |orphan: &mut Orphan| orphan.watch == spec.name || orphan.live.definition == definition;
        let claimed = runs.extract_if(.., its).map(|Orphan { watch, live, running, .. }| {
            let run = live.run.clone();
            if watch != spec.name {
                ground.ledger.renamed(&watch, &spec.name, live);
            }
            (run, running)
        });
        claimed.collect()
    }

    /// Waits until one ends, and writes it off. Never resolves while there is none.
    pub(super) async fn turn(&self, ground: &Ground) {
        let (orphan, ended) = std::future::poll_fn(|context| {
            let mut runs = self.runs();
            let ended = runs.iter_mut().enumerate().find_map(|(at, orphan)| {
                match Pin::new(&mut orphan.running.ended).poll(context) {
                    Poll::Ready(ended) => Some((at, ended)),
                    Poll::Pending => None,
                }
            });
            ended.map_or(Poll::Pending, |(at, ended)| Poll::Ready((runs.swap_remove(at), ended)))
        })
        .await;
        orphan.write_off(ground, ended);
    }

    /// Ends them at the deadline.
    pub(super) fn stop(&self, deadline: Instant) {
        for orphan in self.runs().iter() {
            let commands = orphan.running.commands.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(deadline.into()).await;
                commands.send(RunCommand::Term { timed_out: false });
                tokio::time::sleep(KILL_AFTER).await;
                commands.send(RunCommand::Kill);
            });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs().is_empty()
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Orphan>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Orphan {
    fn write_off(self, ground: &Ground, ended: Ended) {
        let Self { watch, live, running, counted } = self;
        drop(counted);
        let seconds = running.since.elapsed().as_secs_f64();
        // Only a parent is told how a process ended, so that no code can make it a success.
        let outcome = ended.outcome.word(&[]);
        tracing::warn!(watch = %watch, run = %live.run, outcome, "ended after {seconds:.3} s; its watch is not defined any more");
        let record = RunRecord {
            run: live.run.clone(),
            reason: live.reason,
            version: live.version,
            attempt: live.attempt,
            coalesced: live.coalesced,
            started: live.started,
            seconds,
            outcome: outcome.to_owned(),
            exit_code: ended.outcome.exit_code(),
            signal: ended.outcome.signal().map(|signal| signal.0),
            output: ended.output_tail,
        };
        ground.ledger.ended(&watch, record, false);
        ground.ledger.interrupted(&watch, &live.run, &live.target);
    }
}
