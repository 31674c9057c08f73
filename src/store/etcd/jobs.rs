//! Read jobs of a session: their purpose, their targets and their outcomes.

use std::time::Duration;

use etcd_client::KvClient;

use super::keys::Scope;
use super::read::{ReadOutcome, WantedKeys, read_history, read_keys, read_range};
use crate::store::StoreError;
use crate::store::session::{Reading, TargetId};

/// A read can be ahead of a watch's events. A watch that delivers none within this time counts as deaf.
pub(super) const EVENTS_ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// Why targets are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// First read; the watch starts at its revision.
    Arm,
    /// To resume after the last delivered update, if its revision is not compacted.
    Resume {
        /// The last update.
        reading: Reading,
        /// Its revision.
        revision: i64,
    },
    /// To show the state at a revision and every update since, if that revision is not compacted.
    Since(i64),
    /// To check that the watches have missed no event. Without values.
    Verify,
    /// To read again, [a while](EVENTS_ON_THEIR_WAY) after a verification found a change without an event.
    Recheck,
}

/// A target to be read.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) id: TargetId,
    pub(super) epoch: u64,
    /// The mirror's revision when the read was queued.
    pub(super) heard: i64,
    pub(super) wanted: WantedKeys,
}

/// Targets that are read together: any number of single keys, or one range.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) asked: Vec<Asked>,
    pub(super) purpose: Purpose,
}

/// A job's end.
pub(super) struct FinishedJob {
    pub(super) job: Job,
    /// The highest revision known when the job began.
    pub(super) not_below: i64,
    /// One for each target, in order.
    pub(super) outcomes: Vec<ReadOutcome>,
}

impl Job {
    /// Whether it reads a range rather than named keys.
    pub(super) fn is_range(&self) -> bool {
        self.asked.iter().any(|asked| !matches!(asked.wanted.scope, Scope::Data(_)))
    }

    /// Calls `part` whenever a part of the answer has arrived. The returned scopes are those that were actually read.
    pub(super) async fn run(
        mut self,
        kv: KvClient,
        highest: i64,
        part: impl Fn() + Sync,
    ) -> Result<FinishedJob, StoreError> {
        let outcomes = match self.asked.as_mut_slice() {
            [alone] => vec![read_one(kv, &mut alone.wanted, &self.purpose, &part).await?],
            many => {
                let wanted: Vec<WantedKeys> = many.iter().map(|asked| asked.wanted.clone()).collect();
                read_keys(kv, &wanted, &part).await?
            }
        };
        Ok(FinishedJob { job: self, not_below: highest, outcomes })
    }
}

async fn read_one(
    kv: KvClient,
    wanted: &mut WantedKeys,
    purpose: &Purpose,
    part: &(dyn Fn() + Sync),
) -> Result<ReadOutcome, StoreError> {
    match purpose {
        Purpose::Resume { reading, revision } => {
            if let Some((mirror, mark)) = read_history(kv.clone(), wanted, *revision, part).await?
                && mirror.reading() == *reading
            {
                return Ok(ReadOutcome::Resumed { mirror, mark });
            }
        }
        Purpose::Since(revision) => {
            if let Some((mirror, mark)) = read_history(kv.clone(), wanted, *revision, part).await? {
                return Ok(ReadOutcome::Read { mirror, mark });
            }
            // The first update that is wanted may be the oldest that is not compacted.
            let first = revision.saturating_add(1);
            if let Some((mirror, mark)) = read_history(kv.clone(), wanted, first, part).await? {
                return Ok(ReadOutcome::Oldest { mirror, mark, asked: *revision });
            }
            return Ok(match read_range(kv, wanted, part).await? {
                ReadOutcome::Read { mirror, mark } => {
                    ReadOutcome::Forgotten { mirror, mark, asked: *revision }
                }
                other @ (ReadOutcome::Resumed { .. }
                | ReadOutcome::Oldest { .. }
                | ReadOutcome::Forgotten { .. }
                | ReadOutcome::Refused(_)) => other,
            });
        }
        Purpose::Arm | Purpose::Verify | Purpose::Recheck => {}
    }
    read_range(kv, wanted, part).await
}
