//! The part of a watch's policy that a permit touches: asks, claims, starts, retries, gives back.

use std::sync::Arc;
use std::time::Duration;

use crate::fleet::member::{Input, Then};
use crate::fleet::record::{Last, LastOutcome, Permit};
use crate::fleet::{BootTime, PermitId, StateId};

/// What the watch does.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Idle,
    Asked,
    Claiming(Arc<Permit>),
    Acting { permit: Arc<Permit>, state: StateId, run: u64 },
    Retrying { permit: Arc<Permit>, at: BootTime },
    Hold { permit: PermitId, until: BootTime },
}

/// A watch with a permit's states, and nothing else of a policy.
#[derive(Debug)]
pub struct Actor {
    pub restart_mode: bool,
    pub retries: u32,
    /// `run_on_load`: a daemon that starts again tries once more what it gave up on.
    on_load: bool,
    pub newest: Option<StateId>,
    pub applied: Option<StateId>,
    pub phase: Phase,
    attempt: u32,
    tried: u32,
    gave_up: Option<StateId>,
    /// The same in the ledger.
    pub recorded: Option<StateId>,
    deadline: BootTime,
    swap_to: Option<Arc<Permit>>,
    within: Duration,
}

/// A start that is to happen now.
pub struct Start {
    pub permit: Arc<Permit>,
    pub state: StateId,
}

impl Actor {
    pub fn new(restart_mode: bool, retries: u32, on_load: bool, within: Duration) -> Self {
        Self {
            restart_mode,
            retries,
            on_load,
            newest: None,
            applied: None,
            phase: Phase::Idle,
            attempt: 0,
            tried: 0,
            gave_up: None,
            recorded: None,
            deadline: BootTime::default(),
            swap_to: None,
            within,
        }
    }

    /// What is left of it when its daemon is killed: a run is adopted, and the ledger knows what was applied and what it
    /// gave up on.
    pub fn restarted(&mut self) {
        if !matches!(self.phase, Phase::Acting { .. }) {
            self.phase = Phase::Idle;
        }
        self.newest = None;
        self.gave_up = self.recorded.filter(|_| !self.on_load);
        self.swap_to = None;
    }

    pub fn deadline(&self) -> Option<BootTime> {
        match &self.phase {
            Phase::Retrying { at, .. } => Some((*at).min(self.deadline)),
            Phase::Hold { until, .. } => Some(*until),
            Phase::Idle | Phase::Asked | Phase::Claiming(_) | Phase::Acting { .. } => None,
        }
    }

    fn ask(&mut self) -> Vec<Input> {
        let Some(state) = self.newest else {
            // Started again, and the store has not shown the key yet.
            self.phase = Phase::Idle;
            return Vec::new();
        };
        if self.applied == Some(state) {
            self.phase = Phase::Idle;
            return vec![Input::Applied(state)];
        }
        if self.gave_up == Some(state) {
            self.phase = Phase::Idle;
            return vec![Input::GaveUp(state)];
        }
        self.phase = Phase::Asked;
        vec![Input::Ask { state, swap: false, within: self.within }]
    }

    /// The key shows a state. `kept`: the planted fault that a permit is kept across versions.
    pub fn state(&mut self, state: StateId, kept: bool) -> Vec<Input> {
        if self.newest == Some(state) {
            return Vec::new();
        }
        self.newest = Some(state);
        match self.phase.clone() {
            Phase::Idle | Phase::Asked => self.ask(),
            Phase::Claiming(_) | Phase::Retrying { .. } if kept => Vec::new(),
            Phase::Claiming(permit) | Phase::Retrying { permit, .. } => self.back(permit.id, false),
            Phase::Hold { permit, .. } => self.back(permit, false),
            Phase::Acting { .. } if self.restart_mode && self.swap_to.is_none() => {
                vec![Input::Ask { state, swap: true, within: self.within }]
            }
            Phase::Acting { .. } => Vec::new(),
        }
    }

    fn back(&mut self, permit: PermitId, failed: bool) -> Vec<Input> {
        let mut inputs = vec![Input::Return { permit, failed }];
        inputs.extend(self.ask());
        inputs
    }

    /// A permit came. `true`: the run is to be ended for it.
    pub fn permit(&mut self, permit: &Arc<Permit>, now: BootTime) -> (Vec<Input>, bool) {
        let wanted = self.newest.is_some_and(|newest| newest == permit.state);
        match &self.phase {
            Phase::Asked | Phase::Idle if wanted && (self.phase == Phase::Asked || permit.retry) => {
                (self.claim(permit, now), false)
            }
            Phase::Acting { .. } if wanted && self.restart_mode => {
                self.swap_to = Some(Arc::clone(permit));
                (Vec::new(), true)
            }
            Phase::Idle
            | Phase::Asked
            | Phase::Claiming(_)
            | Phase::Acting { .. }
            | Phase::Retrying { .. }
            | Phase::Hold { .. } => (vec![Input::Return { permit: permit.id, failed: false }], false),
        }
    }

    fn claim(&mut self, permit: &Arc<Permit>, now: BootTime) -> Vec<Input> {
        self.phase = Phase::Claiming(Arc::clone(permit));
        self.attempt += 1;
        self.tried = 0;
        self.deadline = now.plus(permit.deadline.unwrap_or(Duration::from_mins(10)));
        vec![Input::Claim { permit: permit.id, attempt: self.attempt }]
    }

    /// The claim stands until then. `stale_too`: the planted fault that nobody looks at the time.
    pub fn claimed(
        &mut self,
        id: PermitId,
        until: BootTime,
        now: BootTime,
        stale_too: bool,
    ) -> (Vec<Input>, Option<Start>) {
        let Phase::Claiming(permit) = self.phase.clone() else { return (Vec::new(), None) };
        if permit.id != id {
            return (Vec::new(), None);
        }
        if now > until && !stale_too {
            return (vec![Input::Claim { permit: id, attempt: self.attempt }], None);
        }
        let state = self.newest.unwrap_or(permit.state);
        (Vec::new(), Some(Start { permit, state }))
    }

    pub fn refused(&mut self, id: PermitId) -> Vec<Input> {
        match &self.phase {
            Phase::Claiming(permit) if permit.id == id => self.ask(),
            Phase::Idle
            | Phase::Asked
            | Phase::Claiming(_)
            | Phase::Acting { .. }
            | Phase::Retrying { .. }
            | Phase::Hold { .. } => Vec::new(),
        }
    }

    pub fn lost(&mut self, id: PermitId) -> Vec<Input> {
        if self.swap_to.as_ref().is_some_and(|permit| permit.id == id) {
            self.swap_to = None;
        }
        match &self.phase {
            Phase::Claiming(permit) | Phase::Retrying { permit, .. } if permit.id == id => self.ask(),
            Phase::Hold { permit, .. } if *permit == id => self.ask(),
            Phase::Idle
            | Phase::Asked
            | Phase::Claiming(_)
            | Phase::Acting { .. }
            | Phase::Retrying { .. }
            | Phase::Hold { .. } => Vec::new(),
        }
    }

    /// The run ended. `killed`: for a newer version.
    pub fn ended(&mut self, failed: bool, held: bool, now: BootTime) -> Vec<Input> {
        let Phase::Acting { permit, state, .. } = self.phase.clone() else { return Vec::new() };
        let outcome = if failed { LastOutcome::Failed } else { LastOutcome::Succeeded };
        let last = Last { outcome, exit_code: Some(i32::from(failed)) };
        let id = permit.id;
        let ended = |then| Input::Ended { permit: id, state, last, then };
        if !failed {
            self.applied = Some(state);
            self.recorded = None;
        }
        if let Some(swap) = self.swap_to.take() {
            self.phase = Phase::Asked;
            let mut inputs = vec![ended(Then::Return)];
            inputs.extend(self.claim(&swap, now));
            return inputs;
        }
        let newer = self.newest.is_some_and(|newest| newest != state);
        if failed && held && !newer && self.tried < self.retries && now < self.deadline {
            self.tried += 1;
            self.phase = Phase::Retrying { permit, at: now.plus(Duration::from_secs(2)) };
            return vec![ended(Then::Retry)];
        }
        if let (false, false, true, Some(hold)) = (failed, newer, held, permit.hold) {
            self.phase = Phase::Hold { permit: permit.id, until: now.plus(hold) };
            return vec![ended(Then::Hold)];
        }
        if failed {
            self.give_up(Some(state));
        }
        let mut inputs = vec![ended(Then::Return)];
        inputs.extend(self.ask());
        inputs
    }

    fn give_up(&mut self, state: Option<StateId>) {
        (self.gave_up, self.recorded) = (state, state);
    }

    pub fn wakeup(&mut self, now: BootTime) -> Vec<Input> {
        match self.phase.clone() {
            Phase::Retrying { permit, .. } if now >= self.deadline => {
                self.give_up(self.newest);
                self.back(permit.id, true)
            }
            Phase::Retrying { permit, at } if now >= at => {
                self.attempt += 1;
                let id = permit.id;
                self.phase = Phase::Claiming(permit);
                vec![Input::Claim { permit: id, attempt: self.attempt }]
            }
            Phase::Hold { permit, until } if now >= until => self.back(permit, false),
            Phase::Idle
            | Phase::Asked
            | Phase::Claiming(_)
            | Phase::Acting { .. }
            | Phase::Retrying { .. }
            | Phase::Hold { .. } => Vec::new(),
        }
    }
}
