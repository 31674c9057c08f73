//! What a seed is played with: hosts, terms, faults, versions, orders.

use std::time::Duration;

use super::planted::Planted;
use crate::fleet::glob::HostGlobs;
use crate::fleet::terms::{MaxParallel, Share, StopOnFailures, Terms};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a seed is played with.
#[derive(Clone)]
pub struct Setting {
    pub hosts: usize,
    pub conductors: usize,
    /// Terms by host; the last one for all others.
    pub terms: Vec<Terms>,
    /// Longest run.
    pub run: Duration,
    /// The adversary acts until then.
    pub faults_until: Duration,
    /// Chance of a failed run, in thousands, until the faults end.
    pub failing: u32,
    pub versions: u32,
    /// Versions follow each other so fast.
    pub every: Duration,
    pub orders: bool,
    pub restart_mode: bool,
    /// A daemon that starts again tries once more what it gave up on.
    pub on_load: bool,
    /// Own keys are read again so often.
    pub verify: Duration,
    pub planted: Option<Planted>,
}

pub fn limited(share: Share) -> Terms {
    Terms {
        max_parallel: MaxParallel::Share(share),
        stop_on_failures: StopOnFailures::Never,
        ..Terms::default()
    }
}

/// Terms, faults and orders of a seed.
pub fn setting(hosts: usize, seed: u64) -> Setting {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let careful = limited(Share::Count(rng.u32(1..4)));
    let mut terms =
        limited(if rng.bool() { Share::Count(rng.u32(1..6)) } else { Share::Percent(rng.u8(1..30)) });
    if rng.u32(..3) == 0 {
        terms.canary = HostGlobs(vec!["h0000?".to_owned()]);
    }
    if rng.u32(..3) == 0 {
        terms.waves = vec![Share::Count(2), Share::Percent(50)];
    }
    if rng.bool() {
        terms.soak = secs(rng.u64(..40));
    }
    if rng.u32(..4) == 0 {
        terms.hold = secs(rng.u64(1..20));
    }
    if rng.u32(..3) == 0 {
        terms.stop_on_failures = StopOnFailures::Share(Share::Count(rng.u32(1..4)));
    }
    terms.deadline = secs(60);
    Setting {
        hosts,
        conductors: 4.min(hosts),
        terms: if rng.bool() { vec![careful, terms] } else { vec![terms] },
        run: secs([1, 5, 20][rng.usize(..3)]),
        faults_until: secs(rng.u64(60..600)),
        failing: [0, 0, 20, 200][rng.usize(..4)],
        versions: rng.u32(1..5),
        every: secs(rng.u64(20..200)),
        orders: rng.bool(),
        restart_mode: rng.u32(..3) == 0,
        on_load: rng.u32(..3) > 0,
        verify: secs(20),
        planted: None,
    }
}

/// So many hosts that only a share of them at once is done in time.
pub fn crowded(hosts: usize, seed: u64) -> Setting {
    let mut setting = setting(hosts, seed);
    let percent = 5 + u8::try_from(seed % 20).unwrap_or_default();
    for terms in &mut setting.terms {
        terms.max_parallel = MaxParallel::Share(Share::Percent(percent));
    }
    setting
}
