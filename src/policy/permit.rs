//! The permits of one watch: the one asked for, the one of the next start, the one that it acts under.

use std::time::{Duration, Instant};

use crate::watch::{PermitId, RunId, Seq};

/// A permit as it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Which.
    pub permit: PermitId,
    /// The state that it lets start.
    pub order: Seq,
    /// From then on the host counts as failed, and returns it as soon as nothing runs.
    pub deadline: Instant,
    /// It is kept for this long after success.
    pub hold: Duration,
    /// An operator asked for it on behalf of a watch that gave up.
    pub retry: bool,
}

/// What becomes of a permit when its run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum After {
    /// It is returned, unless it was lost.
    Return,
    /// It is kept for the next attempt.
    Retry,
    /// It is kept for a while after success.
    Hold,
}

/// Where a watch stands with its permit: the words of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PermitStage {
    /// It has none and asks for none.
    None,
    /// It asks, or its permit cannot be claimed as it is.
    Asked,
    /// It has one, and waits for a slot.
    Granted,
    /// The store is asked whether the permit still holds.
    Claiming,
    /// The action runs under it, or is repeated under it.
    Held,
    /// It is kept for a while after success.
    Hold,
    /// The action runs though its permit is gone.
    Lost,
}

impl PermitStage {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Asked => "asked",
            Self::Granted => "granted",
            Self::Claiming => "claiming",
            Self::Held => "held",
            Self::Hold => "hold",
            Self::Lost => "lost",
        }
    }
}

/// How far the permit of the next start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// It waits for a slot.
    Granted,
    /// It is kept for a retry.
    Kept,
    /// The slot is held until the claim is answered.
    Claiming,
    /// The claim is not answered, and the slot was given back meanwhile.
    Unanswered,
    /// Nothing may start under it until it is granted once more.
    Refused,
}

/// The permit of the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Next {
    pub(super) grant: Grant,
    pub(super) step: Step,
}

/// The permit of a live run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Acting {
    pub(super) grant: Grant,
    pub(super) run: RunId,
    /// Nobody counts the run under this permit any more.
    pub(super) lost: bool,
}

/// The permits of one watch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Permits {
    /// The state that a permit is asked for.
    pub(super) asked: Option<Seq>,
    pub(super) next: Option<Next>,
    pub(super) acting: Option<Acting>,
    /// A permit that is kept after success, until then.
    pub(super) hold: Option<(PermitId, Instant)>,
}

impl Permits {
    /// Whether a permit is one that it has and may use.
    pub(super) fn knows(&self, permit: PermitId) -> bool {
        let acting = self.acting.as_ref().is_some_and(|acting| acting.grant.permit == permit && !acting.lost);
        let next = self.next.is_some_and(|next| next.grant.permit == permit && next.step != Step::Refused);
        acting || next || self.hold.is_some_and(|(held, _)| held == permit)
    }

    /// The word for all of it.
    pub(super) fn stage(&self) -> PermitStage {
        match (&self.next, &self.acting) {
            (Some(Next { step: Step::Claiming | Step::Unanswered, .. }), _) => PermitStage::Claiming,
            (_, Some(acting)) if acting.lost => PermitStage::Lost,
            (Some(Next { step: Step::Kept, .. }), _) | (_, Some(_)) => PermitStage::Held,
            (Some(Next { step: Step::Granted, .. }), None) => PermitStage::Granted,
            (Some(Next { step: Step::Refused, .. }), None) => PermitStage::Asked,
            (None, None) if self.hold.is_some() => PermitStage::Hold,
            (None, None) if self.asked.is_some() => PermitStage::Asked,
            (None, None) => PermitStage::None,
        }
    }
}
