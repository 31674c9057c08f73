//! Notices that the certificates of a store were replaced on disk, so that they are used without a disconnect.
//!
//! The files are read at an interval, as for a connection. They are replaced one by one, so a change counts when two
//! looks in a row have found the same. A connection with the new ones is made after a random wait, because many machines may
//! get them at once, and after ever longer ones while it fails.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::backoff::Backoff;
use crate::store::files::{Certificates, Identity};
use crate::store::{StoreError, StoreFiles, StoreSpec, Tls};

/// How often the files are read.
const LOOKS: Duration = Duration::from_secs(5);
/// The bounds of the wait before the first connection with new files, and of the longest before another.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// What the files hold: a hash of it, or why they cannot be used.
pub(super) type Found = Result<u64, String>;

/// What is known of the files and of their use.
#[derive(Debug)]
pub(super) struct Rotation {
    /// What the open session was opened with.
    used: Option<u64>,
    /// What a session is being opened with to take the place of the open one.
    trying: Option<u64>,
    seen: Option<Found>,
    /// What was complained of last: files that cannot be used, or that no session can be opened with.
    told: Option<Found>,
    /// When a session with what was seen is to be opened.
    due: Option<Instant>,
    waits: Backoff,
}

impl Rotation {
    pub(super) const fn new() -> Self {
        let (first, longest) = WAITS;
        Self {
            used: None,
            trying: None,
            seen: None,
            told: None,
            due: None,
            waits: Backoff::new(first, longest),
        }
    }

    /// Returns why the files cannot be used, once.
    pub(super) fn look(&mut self, found: Found, now: Instant, rng: &mut fastrand::Rng) -> Option<String> {
        let stable = self.seen.as_ref() == Some(&found);
        if !stable {
            self.due = None;
            self.waits.reset();
        }
        self.seen = Some(found.clone());
        match (found, self.used) {
            (Ok(hash), None) => self.used = Some(hash),
            (Ok(hash), Some(used)) if hash == used => self.told = None,
            (Ok(_), Some(_)) if stable && self.due.is_none() && self.trying.is_none() => {
                self.due = Some(now + self.waits.next(rng));
            }
            (Err(why), _) if stable && self.tells(Err(why.clone())) => return Some(why),
            (Ok(_) | Err(_), _) => {}
        }
        None
    }

    /// When a session is to be opened that takes the place of the open one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A session is opened. It reads the files after the last look: if they changed meanwhile, the next look makes a
    /// connection too many, never one too few.
    pub(super) fn opened(&mut self) {
        if let Some(Ok(seen)) = &self.seen {
            self.used = Some(*seen);
        }
        self.trying = None;
        self.due = None;
    }

    /// A session begins that is to take the place of the open one.
    pub(super) fn renews(&mut self) {
        self.trying = self.seen.as_ref().and_then(|seen| seen.as_ref().ok().copied());
        self.due = None;
    }

    /// It has taken that place.
    pub(super) fn renewed(&mut self) {
        self.used = self.trying.take();
    }

    /// It could not be opened. Whether that is to be said: once for what the files hold, however the errors differ.
    pub(super) fn refused(&mut self) -> bool {
        self.trying.take().is_some_and(|hash| self.tells(Ok(hash)))
    }

    fn tells(&mut self, found: Found) -> bool {
        let told = self.told.as_ref() == Some(&found);
        self.told = Some(found);
        !told
    }
}

/// The message for files that cannot be used.
pub(super) fn unusable(why: &str, serves: bool) -> String {
    let follows = if serves { "the open connection stays" } else { "and no connection is open" };
    format!("the certificates on disk cannot be used, {follows}: {why}")
}

/// Reads the files of a store at an interval, if its configuration names any, until the receiver is gone.
pub(super) fn looks(spec: &StoreSpec) -> Option<mpsc::Receiver<Found>> {
    let tls = spec.tls.clone().filter(|tls| tls.ca.is_some() || tls.cert.is_some() || tls.key.is_some())?;
    let (found, looks) = mpsc::channel(1);
    tokio::spawn(async move {
        let files = StoreFiles::default();
        while found.send(look(&files, &tls).await).await.is_ok() {
            tokio::time::sleep(LOOKS).await;
        }
    });
    Some(looks)
}

async fn look(files: &StoreFiles, tls: &Tls) -> Found {
    let certificates = files.certificates(tls).await.map_err(|error: StoreError| error.to_string())?;
    let Certificates { authorities: (_, authorities), identity } = certificates;
    let mut hasher = DefaultHasher::new();
    authorities.hash(&mut hasher);
    if let Some(Identity { path: _, cert, key }) = identity {
        (cert, key).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// The next look; never, if the store has no files.
pub(super) async fn next(looks: &mut Option<mpsc::Receiver<Found>>) -> Found {
    match looks {
        Some(receiver) => match receiver.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rotation with a clock that stands still unless it is set.
    struct Looked {
        rotation: Rotation,
        now: Instant,
        rng: fastrand::Rng,
    }

    impl Looked {
        fn new(seed: u64) -> Self {
            Self { rotation: Rotation::new(), now: Instant::now(), rng: fastrand::Rng::with_seed(seed) }
        }

        /// Whether a session is to be opened after this look, now or later.
        fn renews(&mut self, hash: u64) -> bool {
            assert_eq!(self.rotation.look(Ok(hash), self.now, &mut self.rng), None);
            self.rotation.due().is_some()
        }

        fn complains(&mut self) -> bool {
            let complaint = self.rotation.look(Err("empty".to_owned()), self.now, &mut self.rng);
            assert!(self.rotation.due().is_none());
            complaint.is_some_and(|why| why == "empty")
        }
    }

    #[test]
    fn a_change_counts_once_it_was_seen_twice() {
        let mut looked = Looked::new(7);
        assert!(!looked.renews(1));
        assert!(!looked.renews(1));
        // The certificate is new, its key is not yet.
        assert!(!looked.renews(2));
        assert!(!looked.renews(3));
        assert!(looked.renews(3));
        assert!(looked.renews(3), "until a session was opened");
        looked.rotation.renews();
        assert!(!looked.renews(3), "one at a time");
        // Replaced once more before that session is ready.
        assert!(!looked.renews(4));
        looked.rotation.renewed();
        assert_eq!([looked.renews(4), looked.renews(3)], [true, false]);
    }

    #[test]
    fn a_session_that_is_opened_anyway_uses_what_was_seen_last() {
        let mut looked = Looked::new(7);
        looked.rotation.opened();
        assert_eq!([looked.renews(1), looked.renews(2)], [false, false]);
        looked.rotation.opened();
        assert_eq!([looked.renews(2), looked.renews(2)], [false, false]);
        // The open session is lost while another is opened to take its place.
        assert_eq!([looked.renews(3), looked.renews(3)], [false, true]);
        looked.rotation.renews();
        looked.rotation.opened();
        assert_eq!([looked.renews(4), looked.renews(4)], [false, true]);
        looked.rotation.opened();
        assert!(!looked.renews(4));
    }

    #[test]
    fn files_that_no_session_can_be_opened_with_are_said_once_and_tried_again() {
        let mut looked = Looked::new(7);
        looked.renews(1);
        looked.renews(2);
        for is_new in [true, false, false] {
            assert!(looked.renews(2));
            looked.rotation.renews();
            assert_eq!(looked.rotation.refused(), is_new);
        }
        assert!(!looked.rotation.refused(), "nothing was tried");
        assert_eq!([looked.renews(3), looked.renews(3)], [false, true]);
        looked.rotation.renews();
        assert!(looked.rotation.refused(), "other files");
    }

    #[test]
    fn broken_files_are_a_complaint_once_and_the_old_ones_stay_in_use() {
        let mut looked = Looked::new(7);
        looked.renews(1);
        assert!(!looked.complains(), "it may be about to be written");
        assert!(looked.complains());
        assert!(!looked.complains());
        looked.rotation.opened();
        assert!(!looked.renews(1), "the old ones are back");
        assert!(!looked.complains());
        assert!(looked.complains(), "broken anew");
        assert_eq!([looked.renews(2), looked.renews(2)], [false, true]);
    }

    #[test]
    fn the_waits_are_random_and_double_while_it_fails_until_the_files_change() {
        let (first, longest) = WAITS;
        let mut longest_seen = [Duration::ZERO; 12];
        for seed in 0..200 {
            let mut looked = Looked::new(seed);
            looked.renews(1);
            looked.renews(2);
            for (failures, seen) in longest_seen.iter_mut().enumerate() {
                assert!(looked.renews(2));
                let due = looked.rotation.due().unwrap();
                let wait = due - looked.now;
                assert!(wait <= (first * (1 << failures)).min(longest), "{wait:?} after {failures}");
                *seen = (*seen).max(wait);
                // A later look does not put it off.
                looked.now += LOOKS;
                looked.renews(2);
                assert_eq!(looked.rotation.due(), Some(due));
                looked.rotation.renews();
                looked.rotation.refused();
            }
            assert_eq!([looked.renews(3), looked.renews(3)], [false, true]);
            assert!(looked.rotation.due().unwrap() - looked.now <= first);
        }
        assert!(longest_seen[0] > first / 2 && longest_seen[11] > longest / 2, "{longest_seen:?}");
    }

    #[test]
    fn an_open_connection_is_named_only_if_there_is_one() {
        insta::assert_snapshot!(unusable("ca.pem: it is empty", true), @"the certificates on disk cannot be used, the open connection stays: ca.pem: it is empty");
        insta::assert_snapshot!(unusable("ca.pem: it is empty", false), @"the certificates on disk cannot be used, and no connection is open: ca.pem: it is empty");
    }
}
