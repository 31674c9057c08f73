//! Performs the effects of the pure member and conductor on a real store.

use std::sync::{Arc, PoisonError};

use super::follow::Mirror;
use super::membership::{Membership, boot_time, moment};
use super::requests::{self, StoreAnswer};
use super::wire;
use super::word::ToWatch;
use crate::fleet::{GroupKeys, HostName, TenureId, Transaction, TransactionOutcome, conduct, member};
use crate::metrics::fleet::{KINDS, Membership as Figures};
use crate::store::Store;

impl Membership {
    pub(super) fn member(&mut self, input: member::Input) {
        let effects = self.member.step([input], moment());
        self.perform(effects);
        self.follow_record();
        let asks = self.member.record().asks();
        if asks != self.asked {
            self.asked = asks;
            if asks {
                self.asked_at.get_or_insert(boot_time());
            }
            self.conductor(conduct::Input::Waiting(asks));
        }
    }

    pub(super) fn perform(&mut self, effects: Vec<member::Effect>) {
        for effect in effects {
            match effect {
                member::Effect::OpenTenure => {
                    if self.tenure.take().is_some() {
                        self.conductor(conduct::Input::Tenure(None));
                    }
                    self.requests.push(requests::open(self.place.store.clone(), self.place.profile.ttl));
                }
                member::Effect::Revoke(tenure) => self.revoke(tenure),
                member::Effect::ReadOwn => {
                    let (store, keys, host) = self.own_keys();
                    self.requests.push(requests::read_own(store, keys, host, self.member.known()));
                }
                member::Effect::Commit(ticket, transaction) => {
                    let commit = self.commit(transaction);
                    self.requests.push(Box::pin(async move { StoreAnswer::Member(ticket, commit.await) }));
                }
                member::Effect::Permit(permit) => {
                    if let Some(asked) = self.asked_at.take() {
                        self.figure(|figures| figures.waits.add(boot_time().since(asked)));
                    }
                    let fence = self.fences.get(&permit.id).copied();
                    self.say(ToWatch::Permit { permit, fence });
                }
                member::Effect::Claimed { permit, fresh_until } => {
                    self.say(ToWatch::Claimed { permit, fresh_until });
                }
                member::Effect::Refused(permit) => {
                    self.figure(|figures| figures.claims_refused += 1);
                    self.say(ToWatch::Refused(permit));
                }
                member::Effect::PermitLost(permit) => self.say(ToWatch::Lost(permit)),
                member::Effect::Conflict(conflict) => self.conflict(conflict),
            }
        }
    }

    fn conflict(&mut self, conflict: bool) {
        let (host, group) = (&self.place.profile.host, &self.place.group);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.figures.name_conflict = conflict;
        if conflict {
            tracing::error!(
                "another daemon takes part in group {group} as host {host}: this one gets no permits; give one of them \
                 another `host` in twitcher.conf"
            );
            shown.why = Some(format!("another daemon has the name {host}"));
        } else {
            tracing::info!("host {host} of group {group} is this daemon's again");
            shown.why = None;
        }
    }

    fn figure(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner).figures);
    }

    fn commit(&self, transaction: Transaction) -> impl Future<Output = TransactionOutcome> + Send + 'static {
        let shown = Arc::clone(&self.shown);
        let (store, keys, acl) = (self.place.store.clone(), self.place.keys.clone(), self.place.settings.acl);
        async move {
            let outcome = wire::commit(&store, &keys, &transaction, acl).await;
            if let TransactionOutcome::Applied(_) = outcome {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                for write in &transaction.write {
                    if let Some(kind) = KINDS.iter().position(|kind| *kind == write.key().kind()) {
                        shown.figures.writes[kind] += 1;
                    }
                }
            }
            outcome
        }
    }

    /// Revokes our tenure, or deletes the key of a former one, whose lease or session expires by itself.
    fn revoke(&mut self, tenure: TenureId) {
        if let Some(own) = self.tenure.take_if(|own| wire::from_store(own.id()) == tenure) {
            self.conductor(conduct::Input::Tenure(None));
            self.leaving = true;
            self.requests.push(Box::pin(async move {
                drop(own.revoke().await);
                StoreAnswer::Revoked
            }));
            return;
        }
        let (store, keys, host) = self.own_keys();
        self.requests.push(requests::take_name(store, keys, host, tenure, self.place.settings.acl));
    }

    /// The arguments of a request for this host's keys.
    pub(super) fn own_keys(&self) -> (Store, GroupKeys, HostName) {
        (self.place.store.clone(), self.place.keys.clone(), self.place.profile.host.clone())
    }

    pub(super) fn conductor(&mut self, input: conduct::Input) {
        let Some(conductor) = &mut self.conductor else { return };
        let effects = conductor.step(input, moment());
        let fence = conductor.fence();
        for effect in effects {
            match effect {
                conduct::Effect::ReadAll => {
                    let (store, keys) = (self.place.store.clone(), self.place.keys.clone());
                    self.requests.push(requests::read_all(store, keys, fence, self.target.prove()));
                }
                conduct::Effect::ReadSummary => {
                    let (store, keys) = (self.place.store.clone(), self.place.keys.clone());
                    self.requests.push(requests::read_summary(store, keys));
                }
                conduct::Effect::Commit(ticket, transaction) => {
                    let commit = self.commit(transaction);
                    self.requests.push(Box::pin(async move { StoreAnswer::Conductor(ticket, commit.await) }));
                }
                conduct::Effect::Mirror(true) => {
                    self.mirror = Some(Mirror::new(&self.place.store, &self.place.keys));
                }
                conduct::Effect::Mirror(false) => self.mirror = None,
                conduct::Effect::ShowSeat => {
                    self.seat = Some(self.place.follow_seat());
                }
            }
        }
    }
}
