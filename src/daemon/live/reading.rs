//! Readings of the key in progress, each until the store has proved its current state.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::policy::Permission;
use crate::status::Preview;
use crate::store::Subscription;

/// How long `trigger` waits for a connected store.
pub(in crate::daemon) const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits for a disconnected one.
pub(super) const CONNECTED_WITHIN: Duration = Duration::from_secs(1);
/// How long it waits for `validate`.
pub(in crate::daemon) const JUDGED_WITHIN: Duration = Duration::from_secs(15);

/// Ready once the subscription includes every earlier write.
pub(super) type CaughtUp = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The readings in progress. Almost always there is none.
#[derive(Default)]
pub(super) struct Readings {
    /// The reading that every start waits for.
    pub(super) hold: Option<CaughtUp>,
    /// `trigger`s, in the order in which they were asked; dry runs among them.
    pub(super) triggers: Vec<Trigger>,
    /// `trigger`s whose state `validate` is judging.
    pub(super) judged: Vec<Judging>,
}

/// A `trigger` whose state `validate` is judging.
pub(super) struct Judging {
    /// The answer if the state passes.
    pub(super) said: String,
    pub(super) answer: oneshot::Sender<Result<String, String>>,
    /// When it is answered without the judgement.
    pub(super) until: Instant,
}

/// A `trigger` whose reading is in progress.
pub(super) struct Trigger {
    pub(super) proof: CaughtUp,
    pub(super) asked: Instant,
    pub(super) wanted: Wanted,
}

/// What is done with the state that was read, and who is told.
pub(super) enum Wanted {
    /// It is run; answered with a sentence.
    Run(Permission, oneshot::Sender<Result<String, String>>),
    /// The run is only shown.
    Preview(oneshot::Sender<Result<Preview, String>>),
}

/// The result of the first reading that is over.
pub(super) enum Over {
    Hold,
    Trigger { at: usize, read: bool },
}

impl Readings {
    /// When the next `trigger` times out. For one that waits for `validate` this may be in the past: it is answered
    /// with the next input.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let limits = [CONNECTED_WITHIN, READ_WITHIN];
        let deadlines = self.triggers.iter().flat_map(|trigger| limits.map(|limit| trigger.asked + limit));
        let deadlines = deadlines.filter(|deadline| *deadline > now);
        deadlines.chain(self.judged.iter().map(|judging| judging.until)).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hold.is_none() && self.triggers.is_empty() && self.judged.is_empty()
    }

    /// Repeats for a new subscription the requests made to the former one.
    pub(super) fn renew(&mut self, subscription: &Subscription) {
        for proof in self.hold.iter_mut().chain(self.triggers.iter_mut().map(|trigger| &mut trigger.proof)) {
            *proof = Box::pin(subscription.prove());
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>, now: Instant, limit: Duration) -> Poll<Over> {
        if let Some(proof) = &mut self.hold
            && proof.as_mut().poll(context).is_ready()
        {
            self.hold = None;
            return Poll::Ready(Over::Hold);
        }
        for (at, trigger) in self.triggers.iter_mut().enumerate() {
            let read = trigger.proof.as_mut().poll(context).is_ready();
            if read || now.saturating_duration_since(trigger.asked) >= limit {
                return Poll::Ready(Over::Trigger { at, read });
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_that_has_waited_too_long_for_validate_is_due_at_once() {
        let now = Instant::now();
        let past = now.checked_sub(Duration::from_millis(1)).unwrap_or(now);
        let judging = |until| Judging { said: String::new(), answer: oneshot::channel().0, until };
        let asked = |asked| Trigger {
            proof: Box::pin(std::future::pending()),
            asked,
            wanted: Wanted::Preview(oneshot::channel().0),
        };
        let judged = vec![judging(now + JUDGED_WITHIN), judging(past)];
        let readings = Readings { hold: None, triggers: vec![asked(now)], judged };
        assert_eq!(readings.deadline(now), Some(past));
        // After CONNECTED_WITHIN the next deadline is that of READ_WITHIN.
        let readings = Readings { hold: None, triggers: vec![asked(now)], judged: Vec::new() };
        let later = now + CONNECTED_WITHIN;
        assert_eq!(readings.deadline(later), Some(now + READ_WITHIN));
    }
}
