//! Operations that wait until the key has been read: a trigger, and every start after a pause, a stop or a reload.

use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

use super::reading::{CONNECTED_WITHIN, CaughtUp, Over, READ_WITHIN, Trigger, Wanted};
use super::task::Task;
use crate::policy::{Control, Permission};

impl Task {
    /// Starts nothing until the store has been read: the known state may be outdated.
    pub(super) fn read_before_starts(&mut self) {
        let proof: CaughtUp = Box::pin(self.subscription.prove());
        self.readings.get_or_insert_default().hold = Some(proof);
        self.runs.hold_starts();
    }

    /// Whether starts wait for the store to be read.
    pub(super) fn is_unread(&self) -> bool {
        self.readings.as_ref().is_some_and(|readings| readings.hold.is_some())
    }

    /// Reads the key, and then runs the action. A watch that would refuse whatever the key holds does so at once.
    pub(super) fn trigger(
        &mut self,
        permission: Permission,
        answer: oneshot::Sender<Result<String, String>>,
    ) {
        if let Some(why) = self.suspension() {
            let _ = answer.send(Err(why));
            return;
        }
        self.read_for(Wanted::Run(permission, answer));
    }

    /// Reads the key, and then does what is wanted.
    pub(super) fn read_for(&mut self, wanted: Wanted) {
        let proof: CaughtUp = Box::pin(self.subscription.prove());
        let asked = Instant::now();
        self.readings.get_or_insert_default().triggers.push(Trigger { proof, asked, wanted });
    }

    /// The subscription is a new one: repeat the requests made to the former one.
    pub(super) fn read_again(&mut self) {
        if let Some(readings) = &mut self.readings {
            readings.renew(&self.subscription);
        }
    }

    /// Handles finished readings. Ready when there was one.
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
            Over::Trigger { at, read } => Some((readings.triggers.remove(at).wanted, read)),
        };
        self.readings.take_if(|readings| readings.is_empty());
        // Writes from before the reading have arrived, and must be processed first.
        while let Some(update) = self.subscription.try_next() {
            self.see(update);
        }
        match trigger {
            None => self.runs.release_starts(&self.spec),
            Some((Wanted::Run(permission, answer), true)) => {
                let said = self.controlled(Control::Trigger(permission));
                self.answer_once_judged(said, answer);
            }
            Some((Wanted::Run(_, answer), false)) => {
                let _ = answer.send(Err(self.unread_words(freshness.error.as_deref())));
            }
            Some((Wanted::Preview(answer), true)) => {
                let _ = answer.send(self.preview(false));
            }
            Some((Wanted::Preview(answer), false)) => {
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
