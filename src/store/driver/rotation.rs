//! Notices that the certificates of a store were replaced on disk, so that they are used without a disconnect.
//!
//! The files are read at an interval, as for a connection. They are replaced one by one, so a change counts when two
//! looks in a row have found the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::store::files::{Certificates, Identity};
use crate::store::{StoreError, StoreFiles, StoreSpec, Tls};

/// How often the files are read.
pub(super) const LOOKS: Duration = Duration::from_secs(5);

/// What the files hold: a hash of it, or why they cannot be used.
pub(super) type Found = Result<u64, String>;

/// What follows from a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// A connection with the new certificates is to be made.
    Renew,
    /// The new files cannot be used; said once.
    Complain(String),
}

/// What is known of the files and of their use.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// What the open session was opened with.
    used: Option<u64>,
    /// What a session is being opened with to take the place of the open one.
    trying: Option<u64>,
    seen: Option<Found>,
    /// What was complained of last: files that cannot be used, or that no session can be opened with.
    told: Option<Found>,
}

impl Rotation {
    pub(super) fn look(&mut self, found: Found) -> Step {
        let stable = self.seen.as_ref() == Some(&found);
        self.seen = Some(found.clone());
        match (found, self.used) {
            (Ok(hash), None) => {
                self.used = Some(hash);
                Step::Nothing
            }
            (Ok(hash), Some(used)) if hash == used => {
                self.told = None;
                Step::Nothing
            }
            (Ok(_), Some(_)) if stable => Step::Renew,
            (Err(why), _) if stable && self.tells(Err(why.clone())) => Step::Complain(why),
            (Ok(_) | Err(_), _) => Step::Nothing,
        }
    }

    /// A session is opened. It reads the files after the last look: if they changed meanwhile, the next look makes a
    /// connection too many, never one too few.
    pub(super) fn opened(&mut self) {
        if let Some(Ok(seen)) = &self.seen {
            self.used = Some(*seen);
        }
    }

    /// A session begins that is to take the place of the open one.
    pub(super) fn renews(&mut self) {
        self.trying = self.seen.as_ref().and_then(|seen| seen.as_ref().ok().copied());
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

    fn broken(why: &str) -> Found {
        Err(why.to_owned())
    }

    #[test]
    fn a_change_counts_once_it_was_seen_twice() {
        let mut rotation = Rotation::default();
        assert_eq!(rotation.look(Ok(1)), Step::Nothing);
        assert_eq!(rotation.look(Ok(1)), Step::Nothing);
        // The certificate is new, its key is not yet.
        assert_eq!(rotation.look(Ok(2)), Step::Nothing);
        assert_eq!(rotation.look(Ok(3)), Step::Nothing);
        assert_eq!(rotation.look(Ok(3)), Step::Renew);
        assert_eq!(rotation.look(Ok(3)), Step::Renew, "until a session was opened");
        rotation.renews();
        // Replaced once more before that session is ready.
        assert_eq!(rotation.look(Ok(4)), Step::Nothing);
        rotation.renewed();
        assert_eq!([rotation.look(Ok(4)), rotation.look(Ok(3))], [Step::Renew, Step::Nothing]);
    }

    #[test]
    fn a_session_that_is_opened_anyway_uses_what_was_seen_last() {
        let mut rotation = Rotation::default();
        rotation.opened();
        assert_eq!([rotation.look(Ok(1)), rotation.look(Ok(2))], [Step::Nothing, Step::Nothing]);
        rotation.opened();
        assert_eq!([rotation.look(Ok(2)), rotation.look(Ok(2))], [Step::Nothing, Step::Nothing]);
    }

    #[test]
    fn files_that_no_session_can_be_opened_with_are_said_once_and_tried_again() {
        let mut rotation = Rotation::default();
        rotation.look(Ok(1));
        rotation.look(Ok(2));
        for is_new in [true, false, false] {
            assert_eq!(rotation.look(Ok(2)), Step::Renew);
            rotation.renews();
            assert_eq!(rotation.refused(), is_new);
        }
        assert!(!rotation.refused(), "nothing was tried");
        assert_eq!([rotation.look(Ok(3)), rotation.look(Ok(3))], [Step::Nothing, Step::Renew]);
        rotation.renews();
        assert!(rotation.refused(), "other files");
    }

    #[test]
    fn broken_files_are_a_complaint_once_and_the_old_ones_stay_in_use() {
        let mut rotation = Rotation::default();
        rotation.look(Ok(1));
        assert_eq!(rotation.look(broken("empty")), Step::Nothing, "it may be about to be written");
        assert_eq!(rotation.look(broken("empty")), Step::Complain("empty".to_owned()));
        assert_eq!(rotation.look(broken("empty")), Step::Nothing);
        rotation.opened();
        assert_eq!(rotation.look(Ok(1)), Step::Nothing, "the old ones are back");
        assert_eq!(rotation.look(broken("empty")), Step::Nothing);
        assert_eq!(rotation.look(broken("empty")), Step::Complain("empty".to_owned()), "broken anew");
        assert_eq!([rotation.look(Ok(2)), rotation.look(Ok(2))], [Step::Nothing, Step::Renew]);
    }
}
