//! When the next attempt to open a session is made. Pure: time and chance are arguments.
//!
//! A store that was there a moment ago is likely back soon, so the first attempts come quickly, one at a time. The longer it
//! is away, the rarer they become: the wait after its return is a small part of the outage, and many daemons do not keep
//! their network busy with it. A session that is lost soon after everything was read in it, or earlier, has cost the server
//! that reading; then the wait for the next session is longer with each one.

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
/// A session that served this long since everything was read in it proves that the store is well.
const HEALTHY: Duration = Duration::from_secs(10);

/// The waits of one store.
#[derive(Debug)]
pub(super) struct Pace {
    attempts: Backoff,
    sessions: Backoff,
    /// When the outage began: at the loss of the last session that proved the store well, or else of the first session.
    /// `None` until then.
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

    /// A session that was ready is lost, in which everything had been read at `read`: how long to wait.
    pub(super) fn lost(&mut self, read: Option<Instant>, now: Instant, rng: &mut fastrand::Rng) -> Duration {
        // Attempts from before the store was there say nothing of its return.
        self.attempts.reset();
        if read.is_none_or(|read| now.saturating_duration_since(read) < HEALTHY) {
            self.away.get_or_insert(now);
            return self.sessions.next(rng);
        }
        self.sessions.reset();
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
        let mut tried = vec![pace.lost(Some(began), lost, &mut rng)];
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
        // How long after the begin everything was read, if ever, and when the session was lost.
        let (at_once, half, long) = (Duration::ZERO, HEALTHY / 2, HEALTHY * 3);
        for (read, lost) in [
            (Some(at_once), half),
            (Some(at_once), at_once),
            (Some(long.saturating_sub(half)), long),
            (None, long),
        ] {
            let (mut now, mut rng) = (Instant::now(), fastrand::Rng::with_seed(7));
            let mut pace = Pace::new();
            let mut waited = Duration::ZERO;
            for _ in 0..200 {
                let wait = pace.lost(read.map(|read| now + read), now + lost, &mut rng);
                assert!(wait <= LONGEST);
                waited += wait;
                now += lost + wait;
            }
            assert!(
                waited > Duration::from_secs(200),
                "{waited:?}, read after {read:?}, lost after {lost:?}"
            );
        }
    }

    #[test]
    fn a_store_that_came_late_and_is_lost_after_a_short_session_is_found_soon() {
        for seed in 0..1000 {
            let (booted, mut rng) = (Instant::now(), fastrand::Rng::with_seed(seed));
            let mut pace = Pace::new();
            for _ in 0..20 {
                let _ = pace.failed(booted, &mut rng);
            }
            let ready = booted + Duration::from_mins(1);
            let mut now = ready + HEALTHY / 2;
            now += pace.lost(Some(ready), now, &mut rng);
            let lost = now;
            let first = pace.failed(now, &mut rng);
            assert!(first <= FIRST.0, "{first:?}");
            while now < lost + Duration::from_secs(20) {
                let wait = pace.failed(now, &mut rng);
                assert!(wait <= SOON, "{wait:?}");
                now += wait;
            }
        }
    }

    #[test]
    fn a_store_that_never_was_there_is_tried_every_few_seconds() {
        let (now, mut rng) = (Instant::now(), fastrand::Rng::with_seed(7));
        let mut pace = Pace::new();
        let waited: Duration = (0..200).map(|_| pace.failed(now, &mut rng)).sum();
        assert!(waited > Duration::from_secs(200), "{waited:?}");
    }
}
