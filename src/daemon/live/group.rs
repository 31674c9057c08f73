//! Passes messages between the machine of a live watch and its fleet's group.

use std::time::{Duration, Instant};

use super::bulk;
use super::party::Stand;
use super::task::Task;
use crate::daemon::fleet::{ToWatch, boot_time};
use crate::fleet::StateId;
use crate::fleet::member::{Input as Told, Then};
use crate::fleet::record::{BehindWhy, Last, LastOutcome};
use crate::ledger::LivePermit;
use crate::policy::{After, Disposition, Input, PermitEffect, PermitStage, Phase};
use crate::status::FleetStatus;
use crate::watch::RunId;

/// Random delay of an ask, so that hosts that see the same change do not all write at once.
const SPREAD: Duration = Duration::from_millis(100);

impl Task {
    /// The state id of the newest state, the same on all hosts.
    fn newest_id(&mut self) -> Option<StateId> {
        let newest = self.machine.newest()?;
        let party = self.party.as_mut()?;
        match party.newest {
            Some((seq, id)) if seq == newest.seq => Some(id),
            Some(_) | None => {
                let id = bulk::with(&newest.content, || StateId::new(newest.version, &newest.content));
                party.newest = Some((newest.seq, id));
                Some(id)
            }
        }
    }

    /// Passes an effect about permits to the group.
    pub(super) fn tell_group(&mut self, effect: &PermitEffect) {
        let newest = self.newest_id();
        let Some(party) = self.party.as_mut() else { return };
        let told = match effect {
            PermitEffect::Ask { order: _, swap } => {
                let Some(state) = newest else { return };
                Told::Ask { state, swap: *swap, within: SPREAD }
            }
            PermitEffect::Withdraw => Told::Withdraw,
            PermitEffect::Claim { permit, attempt } => {
                party.claimed = Some(*permit);
                Told::Claim { permit: *permit, attempt: *attempt }
            }
            PermitEffect::Report { run: _, permit, then } => {
                let Some(granted) = party.permits.iter().find(|granted| granted.permit == *permit) else {
                    return;
                };
                let failed = Last { outcome: LastOutcome::Failed, exit_code: None };
                let then = match then {
                    After::Return => Then::Return,
                    After::Retry => Then::Retry,
                    After::Hold => Then::Hold,
                };
                let (permit, state) = (*permit, granted.state);
                Told::Ended { permit, state, last: party.last.take().unwrap_or(failed), then }
            }
            PermitEffect::Return { permit, failed } => Told::Return { permit: *permit, failed: *failed },
        };
        party.membership.tell(told);
    }

    /// Reports the watch's state while it neither asks for a permit nor runs.
    pub(super) fn tell_stand(&mut self) {
        if self.party.is_none() {
            return;
        }
        let stand = self.stand();
        let Some(party) = self.party.as_mut() else { return };
        if party.told == stand {
            return;
        }
        party.told = stand;
        match stand {
            Some(Stand::Applied(state)) => party.membership.tell(Told::Applied(state)),
            Some(Stand::Behind(state, why)) => party.membership.tell(Told::Behind(Some(state), why)),
            Some(Stand::GaveUp(state)) => party.membership.tell(Told::GaveUp(state)),
            None => {}
        }
    }

    /// `None`: nothing to report, the member knows the state from permits.
    fn stand(&mut self) -> Option<Stand> {
        match self.machine.permit_stage() {
            Some(PermitStage::None) | None => {}
            Some(_) => return None,
        }
        let id = self.newest_id()?;
        let behind = |why| Some(Stand::Behind(id, why));
        match self.machine.disposition()? {
            Disposition::Applied => return Some(Stand::Applied(id)),
            Disposition::GivenUp => return Some(Stand::GaveUp(id)),
            Disposition::Absent => return None,
            Disposition::Open
            | Disposition::Held(_)
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded => {}
        }
        let reports_only = self.party.as_ref().is_some_and(|party| party.reports_only);
        match self.machine.phase() {
            Phase::Paused => behind(BehindWhy::Paused),
            Phase::Stopped => behind(BehindWhy::Stopped),
            Phase::Held => behind(BehindWhy::Held),
            // An unlimited group gets one write for each version.
            _ if reports_only => None,
            Phase::Settling => behind(BehindWhy::Settling),
            Phase::Splaying => behind(BehindWhy::Splaying),
            Phase::Idle | Phase::Waiting | Phase::Running | Phase::Retrying | Phase::Failed => {
                behind(BehindWhy::Waiting)
            }
        }
    }

    /// Tells the group of a run that starts without a permit.
    pub(super) fn start_unpermitted(&mut self, run: &RunId, attempt: u32) {
        let state = self.newest_id();
        if let Some(party) = self.party.as_mut().filter(|party| party.needs_permits()) {
            party.starts_unpermitted(run, state, attempt);
        }
    }

    /// Handles a message of the group.
    pub(super) fn hear_group(&mut self, word: ToWatch) {
        self.newest_id();
        let Some(party) = self.party.as_mut() else { return };
        let input = match word {
            ToWatch::Permit { permit, fence } => {
                let (ledger, name) = (self.runs.shared().ledger(), &self.spec.name);
                ledger.granted(name, LivePermit { id: permit.id, state: permit.state.to_string() });
                Input::Permit(party.grant(&permit, fence))
            }
            ToWatch::Claimed { permit, fresh_until } => {
                let ledger = self.runs.shared().ledger();
                if self.is_unread() || ledger.is_being_written(&self.spec.name) {
                    // No run starts before the store has been read, nor before the permit is in the ledger: a daemon that
                    // finds the run after a crash must know its permit. The slot is requested again, and then the claim.
                    self.decide(Input::Offline);
                }
                // Freshness counts on CLOCK_BOOTTIME, which includes the time that the machine was suspended.
                let fresh = fresh_until.since(boot_time());
                Input::Claimed { permit, fresh_until: Instant::now() + fresh }
            }
            ToWatch::Refused(permit) => Input::Refused(permit),
            ToWatch::Lost(permit) => Input::PermitLost(permit),
            ToWatch::Offline => Input::Offline,
        };
        self.decide(input);
    }

    /// The field `fleet` of `status --json`.
    pub(super) fn fleet_status(&self) -> Option<FleetStatus> {
        let party = self.party.as_ref()?;
        let shown = party.membership.shown();
        let stage = self.machine.permit_stage();
        let word = match stage {
            Some(PermitStage::Granted | PermitStage::Claiming) => "granted",
            Some(_) | None => shown.state,
        };
        Some(FleetStatus {
            group: party.group.clone(),
            permit: stage.unwrap_or(PermitStage::None).word().to_owned(),
            state: word.to_owned(),
            why: shown.why,
        })
    }
}
