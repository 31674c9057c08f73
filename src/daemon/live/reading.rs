//! A reading of the key that somebody asked for, or that a start has to wait for: the store proves what is there now.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::task::Task;
use crate::policy::Control;
use crate::store::Subscription;

/// How long `trigger` waits for a store that is connected.
pub(in crate::daemon) const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits for one that is not.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);

/// Ready once everything that was written before is among the states that the subscription has.
type Proof = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The readings under way. Almost always there is none.
#[derive(Default)]
pub(super) struct Readings {
    /// What every start waits for.
    hold: Option<Proof>,
    /// `trigger`s, in the order in which they were asked.
    triggers: Vec<Trigger>,
}

struct Trigger {
    proof: Proof,
    asked: Instant,
    answer: oneshot::Sender<Result<String, String>>,
}

/// What became of the first reading that is over.
enum Over {
    Hold,
    Trigger { at: usize, read: bool },
}

impl Readings {
    /// When to look whether a `trigger` has waited long enough.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let limits = [CONNECTED_WITHIN, READ_WITHIN];
        let deadlines = self.triggers.iter().flat_map(|trigger| limits.map(|limit| trigger.asked + limit));
        deadlines.filter(|deadline| *deadline > now).min()
    }

    fn is_empty(&self) -> bool {
        self.hold.is_none() && self.triggers.is_empty()
    }

    /// Asks a new subscription what the former one was asked.
    fn renew(&mut self, subscription: &Subscription) {
        for proof in self.hold.iter_mut().chain(self.triggers.iter_mut().map(|trigger| &mut trigger.proof)) {
            *proof = Box::pin(subscription.prove());
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, now: Instant, limit: Duration) -> Poll<Over> {
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

impl Task {
    /// Starts nothing until the store has been read: what is known may be outdated.
    pub(super) fn read_before_starts(&mut self) {
        let proof: Proof = Box::pin(self.subscription.prove());
        self.readings.get_or_insert_default().hold = Some(proof);
        self.runs.hold_starts();
    }

    /// Whether starts wait for the store to be read.
    pub(super) fn is_unread(&self) -> bool {
        self.readings.as_ref().is_some_and(|readings| readings.hold.is_some())
    }

    /// Reads the key, and then runs the action.
    pub(super) fn trigger(&mut self, answer: oneshot::Sender<Result<String, String>>) {
        let proof: Proof = Box::pin(self.subscription.prove());
        let asked = Instant::now();
        self.readings.get_or_insert_default().triggers.push(Trigger { proof, asked, answer });
    }

    /// The subscription is another one: what the former one was asked is asked again.
    pub(super) fn read_again(&mut self) {
        if let Some(readings) = &mut self.readings {
            readings.renew(&self.subscription);
        }
    }

    /// Performs readings that are over. Ready when one was.
    pub(super) fn poll_readings(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(readings) = &mut self.readings else { return Poll::Pending };
        let freshness = self.subscription.freshness();
        let limit = if freshness.connected { READ_WITHIN } else { CONNECTED_WITHIN };
        let over = match readings.poll(context, Instant::now(), limit) {
            Poll::Ready(over) => over,
            Poll::Pending => return Poll::Pending,
        };
        let trigger = match over {
            Over::Hold => None,
            Over::Trigger { at, read } => Some((readings.triggers.remove(at).answer, read)),
        };
        self.readings.take_if(|readings| readings.is_empty());
        // What was written before the reading is here, and is to be seen first.
        while let Some(update) = self.subscription.try_next() {
            self.see(update);
        }
        match trigger {
            None => self.runs.release_starts(&self.spec),
            Some((answer, true)) => {
                let _ = answer.send(self.controlled(Control::Trigger));
            }
            Some((answer, false)) => {
                let _ = answer.send(Err(self.unread_words(freshness.error.as_deref())));
            }
        }
        Poll::Ready(())
    }

    fn unread_words(&self, error: Option<&str>) -> String {
        let (name, target) = (&self.spec.name, &self.spec.target);
        let (key, store) = (&target.key, &target.store);
        let why = error.map_or_else(|| "it does not answer".to_owned(), str::to_owned);
        format!(
            "{name} is not run: cannot read {key} from store {store}: {why}; `twitcher trigger --cached {name}` runs it \
             with the last known state"
        )
    }
}
