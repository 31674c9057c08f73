//! The daemon's end of a membership: what a live watch holds of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::membership::Membership;
use super::place::MembershipSpec;
use super::word::{Listener, MembershipSettings, Recorded, ShownMembership, ToMember};
use crate::fleet::{GroupKeys, member};
use crate::metrics::fleet::Membership as Figures;
use crate::store::Store;
use crate::watch::StoreName;

/// A handle on a membership; cheap to clone. The task ends when it has finished, or when the last handle is dropped.
#[derive(Clone)]
pub(in crate::daemon) struct Handle {
    sender: mpsc::UnboundedSender<ToMember>,
    shown: Arc<Mutex<ShownMembership>>,
    store: StoreName,
    keys: GroupKeys,
    target: Arc<str>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Handle {
    /// Begins a membership. It does nothing before [`Handle::start`].
    pub(in crate::daemon) fn begin(place: MembershipSpec) -> Self {
        let (sender, inbox) = mpsc::unbounded_channel();
        let figures = Figures {
            watch: place.watch.to_string(),
            store: place.store.spec().name.to_string(),
            group: place.group.to_string(),
            ..Figures::default()
        };
        let shown =
            Arc::new(Mutex::new(ShownMembership { state: "behind", figures, ..ShownMembership::default() }));
        let (store, keys) = (place.store.spec().name.clone(), place.keys.clone());
        let target = Arc::clone(&place.profile.target);
        tokio::spawn(Membership::run(place, inbox, Arc::clone(&shown)));
        Self { sender, shown, store, keys, target }
    }

    /// Whether it is of the same group, for the same target.
    pub(super) fn serves(&self, place: &MembershipSpec) -> bool {
        (&self.store, &self.keys, &self.target)
            == (&place.store.spec().name, &place.keys, &place.profile.target)
    }

    /// Registers the host. Only the first call does.
    pub(in crate::daemon) fn start(&self, recorded: Recorded) {
        self.send(ToMember::Begin(recorded));
    }

    /// Replaces the listener for messages from the group.
    pub(in crate::daemon) fn listen(&self, listener: Listener) {
        self.send(ToMember::Listen(listener));
    }

    /// Sends an input to the member.
    pub(in crate::daemon) fn tell(&self, input: member::Input) {
        self.send(ToMember::Input(input));
    }

    /// A store has a new configuration, which matters where the group's keys or the watched key are in it.
    pub(in crate::daemon) fn renew(&self, store: &Store) {
        self.send(ToMember::Store(store.clone()));
    }

    /// `[fleet]` has changed, but for where the group's keys are.
    pub(in crate::daemon) fn configure(&self, settings: MembershipSettings) {
        self.send(ToMember::Settings(settings));
    }

    /// Whether the group's keys are there.
    pub(in crate::daemon) fn is_in(&self, store: &StoreName, keys: &GroupKeys) -> bool {
        (&self.store, &self.keys) == (store, keys)
    }

    /// The daemon stops, or the watch `leaves` the group. Ready when the store knows, or does not answer.
    pub(in crate::daemon) fn finish(&self, leaves: bool) -> oneshot::Receiver<()> {
        let (done, finished) = oneshot::channel();
        self.send(ToMember::Finish { leaves, done });
        finished
    }

    /// The host's state in the group.
    pub(in crate::daemon) fn shown(&self) -> ShownMembership {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The membership's figures for metrics.
    pub(in crate::daemon) fn figures(&self) -> Figures {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).figures.clone()
    }

    /// Where the group is.
    pub(in crate::daemon) fn group(&self) -> (&StoreName, &GroupKeys) {
        (&self.store, &self.keys)
    }

    fn send(&self, message: ToMember) {
        // The task may have finished.
        let _ = self.sender.send(message);
    }
}
