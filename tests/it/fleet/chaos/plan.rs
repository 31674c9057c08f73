//! Which faults strike whom, in which order, for how long: by a seed.

use std::time::Duration;

use super::HOSTS;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KillDaemon,
    /// With its action, as when a machine loses power.
    KillMachine,
    KillConductor,
    /// By SIGUSR1: its action is left to the next daemon.
    HandOver,
    FreezeDaemon,
    FreezeConductor,
    KillAction,
    FreezeAction,
    /// All connections of half of the hosts.
    Reset,
    Cut,
    /// Nothing passes.
    BlackHole,
    KillServer,
    FreezeServer,
    /// The history is dropped, or the server starts again.
    Compact,
    /// The store ends a host's lease or session.
    EndTenure,
    /// Another daemon of the same name.
    Twin,
    /// One host allows fewer at once.
    Terms,
    Pause,
    /// The store goes back to a backup of a moment ago.
    Restore,
    /// The leader of several servers is cut off from the others.
    Divide,
}

impl Kind {
    /// What strikes several servers, and what their change of leader may let slip.
    pub const SEVERAL: [Self; 7] = [
        Self::KillServer,
        Self::FreezeServer,
        Self::Compact,
        Self::EndTenure,
        Self::KillConductor,
        Self::BlackHole,
        Self::Divide,
    ];

    /// What strikes a single server and the daemons.
    pub const ALONE: [Self; 19] = [
        Self::KillDaemon,
        Self::KillMachine,
        Self::KillConductor,
        Self::HandOver,
        Self::FreezeDaemon,
        Self::FreezeConductor,
        Self::KillAction,
        Self::FreezeAction,
        Self::Reset,
        Self::Cut,
        Self::BlackHole,
        Self::KillServer,
        Self::FreezeServer,
        Self::Compact,
        Self::EndTenure,
        Self::Twin,
        Self::Terms,
        Self::Pause,
        Self::Restore,
    ];
}

/// When it strikes, whom, and how long it lasts.
#[derive(Debug, Clone)]
pub struct Event {
    pub kind: Kind,
    /// Among those that it may strike.
    pub choice: usize,
    pub lasts: Duration,
    /// Until the next one.
    pub pause: Duration,
}

/// Every kind at least once, and as many as fit into the length.
pub fn plan(kinds: &[Kind], seed: u64, length: Duration) -> Vec<Event> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut events: Vec<Event> = Vec::new();
    let mut left = length;
    while events.is_empty() || !left.is_zero() {
        // Nothing starts for half a minute after a restore: it comes last.
        let mut round = kinds.to_vec();
        rng.shuffle(&mut round);
        round.sort_by_key(|kind| *kind == Kind::Restore);
        for kind in round {
            let event = Event {
                kind,
                choice: rng.usize(..HOSTS),
                lasts: lasts(kind, &mut rng),
                pause: Duration::from_millis(rng.u64(500..4_000)),
            };
            left = left.saturating_sub(event.pause);
            events.push(event);
        }
    }
    events
}

/// Tenures end after ten seconds.
fn lasts(kind: Kind, rng: &mut fastrand::Rng) -> Duration {
    let long = rng.u32(..4) == 0;
    Duration::from_millis(match kind {
        Kind::Twin => 15_000,
        Kind::EndTenure => 12_000,
        Kind::KillDaemon | Kind::KillMachine | Kind::KillConductor => rng.u64(..3_000),
        Kind::KillServer | Kind::FreezeServer | Kind::Divide => rng.u64(500..5_000),
        Kind::Restore => rng.u64(1_000..4_000),
        Kind::FreezeDaemon | Kind::FreezeConductor | Kind::Cut | Kind::BlackHole | Kind::Pause if long => {
            rng.u64(10_500..13_000)
        }
        // A frozen action goes on before its `timeout`.
        Kind::FreezeDaemon
        | Kind::FreezeConductor
        | Kind::FreezeAction
        | Kind::Cut
        | Kind::BlackHole
        | Kind::Pause
        | Kind::Terms
        | Kind::HandOver
        | Kind::KillAction
        | Kind::Reset
        | Kind::Compact => rng.u64(200..4_000),
    })
}

#[test]
fn a_seed_repeats_its_plan_and_every_kind_is_in_it() {
    let told = |seed| format!("{:?}", plan(&Kind::ALONE, seed, Duration::from_mins(1)));
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
    for kinds in [&Kind::ALONE[..], &Kind::SEVERAL[..]] {
        let plan = plan(kinds, 7, Duration::from_secs(1));
        assert!(kinds.iter().all(|kind| plan.iter().any(|event| event.kind == *kind)));
    }
}
