//! Targets that are polled, because no event reports a change: they are on a network file system, or the system has no
//! inotify watch left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::store::session::TargetId;

/// Pause between two rounds, unless a round takes long.
const PAUSE: Duration = Duration::from_secs(10);
/// A pause is at least this many times as long as the round before it.
const SHARE: u32 = 10;

/// File systems that other machines or a server process change without an event here, with their numbers (statfs(2)).
const REMOTE: [(i64, &str); 17] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x786F_4256, "VirtualBox shared folder"),
    (0xBACB_ACBC, "VMware shared folder"),
    (0x2001_1014, "OrangeFS"),
];

/// The name of a file system whose changes cause no event here, by its number.
pub(super) fn remote(number: i64) -> Option<&'static str> {
    // Some architectures have a signed number of 32 bits.
    let unsigned = number & 0xFFFF_FFFF;
    REMOTE.into_iter().find(|(known, _)| *known == unsigned).map(|(_, name)| name)
}

/// Which targets are polled, why, and when next.
#[derive(Debug)]
pub(super) struct Polled {
    pause: Duration,
    targets: BTreeMap<TargetId, String>,
    due: Option<Instant>,
    /// When the round under way began; large trees are read in many steps.
    round: Option<Instant>,
}

impl Default for Polled {
    fn default() -> Self {
        Self::every(PAUSE)
    }
}

impl Polled {
    /// With a pause other than the default.
    pub(super) fn every(pause: Duration) -> Self {
        Self { pause, targets: BTreeMap::new(), due: None, round: None }
    }

    /// Adds a target that cannot be followed by events. The first one begins a round, because it is being read.
    pub(super) fn add(&mut self, target: TargetId, why: impl FnOnce() -> String, now: Instant) {
        self.targets.entry(target).or_insert_with(why);
        if self.due.is_none() {
            self.due = Some(now + self.pause);
            self.round.get_or_insert(now);
        }
    }

    pub(super) fn remove(&mut self, target: TargetId) {
        self.targets.remove(&target);
        if self.targets.is_empty() {
            self.due = None;
        }
    }

    /// When the next round is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Begins a round if it is due: takes all targets out, and reading them adds those again that still cannot be followed. Do
    /// not call this while a tree is partly read: reading it would start over, and never end if it takes longer than the pause.
    pub(super) fn take(&mut self, now: Instant) -> Vec<TargetId> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = None;
        self.round = Some(now);
        std::mem::take(&mut self.targets).into_keys().collect()
    }

    /// All targets have been read, and every tree completely. If a round was under way, it ends, and its cost determines the
    /// pause.
    pub(super) fn end_round(&mut self, now: Instant) {
        if let (Some(began), Some(due)) = (self.round.take(), &mut self.due) {
            *due = now + self.pause.max(now.saturating_duration_since(began).saturating_mul(SHARE));
        }
    }

    /// Why some keys are polled; `None` if none is.
    pub(super) fn complaint(&self) -> Option<String> {
        let why = self.targets.values().next()?;
        let of = match self.targets.len() {
            1 => "1 key".to_owned(),
            count => format!("{count} keys"),
        };
        Some(format!("changes of {of} are only polled for every few seconds: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_due_after_a_pause_that_depends_on_the_cost_of_the_last_one() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let mut polled = Polled::default();
        assert_eq!((polled.due(), polled.complaint()), (None, None));
        polled.add(TargetId(1), || "a".to_owned(), now);
        polled.add(TargetId(2), || "b".to_owned(), now + PAUSE);
        polled.add(TargetId(1), || panic!("it is known"), now);
        assert_eq!(polled.due(), Some(now + PAUSE));
        assert_eq!(polled.complaint().unwrap(), "changes of 2 keys are only polled for every few seconds: a");
        assert!(polled.take(now).is_empty());
        let later = now + PAUSE;
        assert_eq!(polled.take(later), [TargetId(1), TargetId(2)]);
        assert_eq!(polled.due(), None, "reading them shows which are still polled");
        polled.add(TargetId(2), || "b".to_owned(), later);
        polled.end_round(later + seconds(3));
        assert_eq!(polled.due(), Some(later + seconds(33)));
        polled.end_round(later + seconds(5));
        assert_eq!(polled.due(), Some(later + seconds(33)), "no round is under way");
        assert_eq!(polled.take(later + seconds(33)), [TargetId(2)]);
        let later = later + seconds(33);
        polled.add(TargetId(2), || "b".to_owned(), later);
        polled.end_round(later + Duration::from_millis(3));
        assert_eq!(polled.due(), Some(later + Duration::from_millis(3) + PAUSE));
        polled.remove(TargetId(2));
        assert_eq!((polled.due(), polled.complaint()), (None, None));
    }

    #[test]
    fn the_cost_of_a_round_includes_all_of_its_steps() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let mut polled = Polled::default();
        // The first reading is a round, too.
        polled.add(TargetId(1), || "a".to_owned(), now);
        polled.add(TargetId(2), || "b".to_owned(), now + seconds(15));
        polled.end_round(now + seconds(20));
        assert_eq!(polled.due(), Some(now + seconds(220)));
        let now = now + seconds(220);
        assert_eq!(polled.take(now), [TargetId(1), TargetId(2)]);
        // Both are added again, at different times, and one is disarmed.
        polled.add(TargetId(1), || "a".to_owned(), now + seconds(1));
        polled.remove(TargetId(1));
        polled.add(TargetId(2), || "b".to_owned(), now + seconds(12));
        polled.end_round(now + seconds(14));
        assert_eq!(polled.due(), Some(now + seconds(154)));
    }

    #[test]
    fn network_file_systems_are_known_by_either_sign() {
        assert_eq!(remote(0x6969), Some("NFS"));
        assert_eq!(remote(i64::from(0xFF53_4D42_u32.cast_signed())), Some("CIFS"));
        assert_eq!(remote(0xEF53), None, "ext4");
        assert_eq!(remote(0x0102_1994), None, "tmpfs");
    }
}
