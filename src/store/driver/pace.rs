//! When the next attempt to open a session is made. Pure: time and chance are arguments.
//!
//! A store that was there a moment ago is likely back soon, so the first attempts come quickly, one at a time. The longer it
//! is away, the rarer they become: the wait after its return is a small part of the outage, and many daemons do not keep
//! their network busy with it. A session that is lost soon after it began has cost the server a read of everything; then
//! the waits are long from the start.

use std::time::{Duration, Instant};

use super::backoff::Backoff;

/// The bound of the first wait after a loss, and of the first after a session that served only shortly.
const FIRST: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));
/// The bound of every wait …
const LONGEST: Duration = Duration::from_secs(5);
/// … and of those in the first half minute after the loss of a store; later it is …
const SOON: Duration = Duration::from_millis(400);
/// … one part in this many of the outage so far.
const PART: u32 = 64;
/// A session that served this long proves that the store was there.
const HEALTHY: Duration = Duration::from_secs(10);

/// The waits of one store.
#[derive(Debug)]
pub(super) struct Pace {
    attempts: Backoff,
    sessions: Backoff,
    /// Since when a store is away that was there; `None` until it is there for the first time.
    away: Option<Instant>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        let (attempts, sessions) = FIRST;
        Self {
            attempts: Backoff::new(attempts, LONGEST),
            sessions: Backoff::new(sessions, LONGEST),
            away: None,
        }
    }

    /// A session that began to serve at `since` is lost: how long to wait.
    pub(super) fn lost(&mut self, since: Instant, now: Instant, rng: &mut fastrand::Rng) -> Duration {
        if now.saturating_duration_since(since) < HEALTHY {
            return self.sessions.next(rng);
        }
        self.sessions.reset();
        self.attempts.reset();
        self.away = Some(now);
        self.failed(now, rng)
    }

    /// There is no session, because an attempt failed: how long to wait.
    pub(super) fn failed(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Duration {
        let most = self.away.map_or(LONGEST, |since| {
            let part = now.saturating_duration_since(since) / PART;
            part.clamp(SOON, LONGEST)
        });
        self.attempts.next_within(most, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a daemon tries, from a loss until `until` has passed: each attempt fails at once.
    fn attempts(seed: u64, until: Duration) -> Vec<Duration> {
        let (began, mut rng) = (Instant::now(), fastrand::Rng::with_seed(seed));
        let mut pace = Pace::new();
        let lost = began + HEALTHY;
        let mut tried = vec![pace.lost(began, lost, &mut rng)];
        while let Some(&last) = tried.last()
            && last < until
        {
            tried.push(last + pace.failed(lost + last, &mut rng));
        }
        tried
    }

    fn median(mut times: Vec<Duration>) -> Duration {
        times.sort();
        times[times.len() / 2]
    }

    #[test]
    fn a_store_that_was_there_is_found_soon_after_its_return() {
        for (outage, soon) in [(5, 200), (40, 300), (600, 2500)] {
            let outage = Duration::from_secs(outage);
            let late = |seed| attempts(seed, outage).pop().unwrap().saturating_sub(outage);
            let median = median((0..1000).map(late).collect());
            assert!(median <= Duration::from_millis(soon), "{median:?} after {outage:?}");
        }
        let first = median((0..1000).map(|seed| attempts(seed, Duration::ZERO)[0]).collect());
        assert!(first <= FIRST.0, "{first:?}");
    }

    #[test]
    fn a_thousand_daemons_spread_over_their_waits_and_soon_try_rarely() {
        let outage = Duration::from_mins(1);
        let all: Vec<Vec<Duration>> = (0..1000).map(|seed| attempts(seed, outage)).collect();
        let between = |from: u64, to: u64| {
            let window = Duration::from_millis(from)..Duration::from_millis(to);
            all.iter().flatten().filter(|tried| window.contains(*tried)).count()
        };
        // Each is one connection, refused or pending: five a second and daemon at first, and two after a minute.
        assert!(between(5000, 6000) <= 6000, "{}", between(5000, 6000));
        assert!(between(59_000, 60_000) <= 2500, "{}", between(59_000, 60_000));
        // Their sessions begin over the whole wait, not in step.
        let mut returns: Vec<Duration> =
            all.iter().map(|tried| tried.last().unwrap().saturating_sub(outage)).collect();
        returns.sort();
        let fullest = (0..returns.len())
            .map(|first| {
                let end = returns[first] + Duration::from_millis(10);
                returns[first..].iter().take_while(|time| **time < end).count()
            })
            .max();
        assert!(fullest.unwrap() <= 60, "{fullest:?} of 1,000 within 10 ms");
    }

    #[test]
    fn sessions_that_do_not_last_are_opened_ever_more_rarely() {
        let (mut now, mut rng) = (Instant::now(), fastrand::Rng::with_seed(7));
        let mut pace = Pace::new();
        let mut waited = Duration::ZERO;
        for _ in 0..200 {
            let wait = pace.lost(now, now + HEALTHY / 2, &mut rng);
            assert!(wait <= LONGEST);
            waited += wait;
            now += HEALTHY / 2 + wait;
        }
        assert!(waited > Duration::from_secs(200), "{waited:?}");
    }

    #[test]
    fn a_store_that_never_was_there_is_tried_every_few_seconds() {
        let (now, mut rng) = (Instant::now(), fastrand::Rng::with_seed(7));
        let mut pace = Pace::new();
        let waited: Duration = (0..200).map(|_| pace.failed(now, &mut rng)).sum();
        assert!(waited > Duration::from_secs(200), "{waited:?}");
    }
}
