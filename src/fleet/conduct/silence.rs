//! Many hosts that fall silent together are the store's fault, not theirs: nothing is granted or reclaimed then.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::fleet::{BootTime, HostName};

/// This many hosts may fall silent within one `ttl`; more, and more than [`PERCENT`], are a mass.
pub const HOSTS: usize = 3;

/// The same as a part of the live members.
pub const PERCENT: usize = 5;

/// Who fell silent lately, and whether that is a mass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Silence {
    /// Not longer ago than one `ttl`, oldest first.
    lately: VecDeque<(BootTime, HostName)>,
    /// Who fell silent in the mass, and who of them is still silent.
    mass: Option<(usize, BTreeSet<HostName>)>,
}

impl Silence {
    /// Whether a mass is silent.
    pub fn is_mass(&self) -> bool {
        self.mass.is_some()
    }

    /// A host that was not stopped lost its tenure. `live`: how many have one still.
    pub fn fell(&mut self, host: &HostName, live: usize, now: BootTime, ttl: Duration) {
        if let Some((fell, silent)) = &mut self.mass {
            *fell += usize::from(silent.insert(host.clone()));
            return;
        }
        while self.lately.front().is_some_and(|(at, _)| now.since(*at) > ttl) {
            self.lately.pop_front();
        }
        self.lately.retain(|(_, other)| other != host);
        self.lately.push_back((now, host.clone()));
        let fell = self.lately.len();
        if fell > HOSTS && fell * 100 > (live + fell) * PERCENT {
            self.mass = Some((fell, self.lately.drain(..).map(|(_, host)| host).collect()));
        }
    }

    /// A host has a tenure again, or left. Returns whether the mass is over with it: half of it is back.
    pub fn back(&mut self, host: &HostName) -> bool {
        self.lately.retain(|(_, other)| other != host);
        let Some((fell, silent)) = &mut self.mass else { return false };
        silent.remove(host);
        let over = (*fell - silent.len()) * 2 >= *fell;
        if over {
            self.mass = None;
        }
        over
    }

    /// An operator says that they are gone. Returns whether there was a mass.
    pub fn forgive(&mut self) -> bool {
        self.lately.clear();
        self.mass.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn host(number: usize) -> HostName {
        HostName::new(&format!("h{number}")).unwrap()
    }

    /// This many of `live` fall silent, a second apart.
    fn fall(live: usize, falling: usize, apart: u64) -> Silence {
        let mut silence = Silence::default();
        for n in 0..falling {
            let now = BootTime(Duration::from_secs(apart * n as u64));
            silence.fell(&host(n), live - n - 1, now, TTL);
        }
        silence
    }

    #[test]
    fn three_hosts_or_five_percent_are_no_mass_and_one_more_is() {
        assert!(!fall(10, 3, 1).is_mass());
        assert!(fall(10, 4, 1).is_mass());
        assert!(!fall(100, 5, 1).is_mass());
        assert!(fall(100, 6, 1).is_mass());
        assert!(!fall(1000, 50, 0).is_mass());
        assert!(fall(1000, 51, 0).is_mass());
    }

    #[test]
    fn only_one_ttl_counts() {
        assert!(fall(10, 4, 10).is_mass(), "0, 10, 20 and 30 s");
        assert!(!fall(10, 4, 11).is_mass());
    }

    #[test]
    fn it_is_over_when_half_of_them_are_back() {
        let mut silence = fall(10, 4, 1);
        silence.fell(&host(4), 5, BootTime::default(), TTL);
        assert!(!silence.back(&host(9)), "it was never silent");
        assert!(!silence.back(&host(0)) && !silence.back(&host(1)));
        assert!(silence.back(&host(2)), "three of five");
        assert!(!silence.is_mass());
        assert!(fall(10, 4, 1).forgive() && !fall(10, 3, 1).forgive());
    }
}
