//! The delay that keeps a fleet from starting at once: always the same for a host and watch.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// Draws from 0..=`most` by host and watch, evenly. The algorithm never changes, so that an upgrade moves no start.
pub(super) fn draw(host: &str, watch: &str, most: Duration) -> Duration {
    let mut hash = Sha256::new();
    hash.update(host.as_bytes());
    hash.update([0]);
    hash.update(watch.as_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let share = u128::from(u64::from_be_bytes(first));
    let nanoseconds = (share * (most.as_nanos() + 1)) >> 64;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn the_draw_is_stable_across_versions() {
        assert_eq!(draw("web-17", "git", MINUTE), Duration::from_nanos(43_896_984_520));
    }

    #[test]
    fn hosts_and_watches_are_spread_evenly() {
        let mut tenths = [0_u32; 10];
        for host in 0..1000 {
            let drawn = draw(&format!("host{host}"), "git", MINUTE);
            assert!(drawn <= MINUTE);
            tenths[usize::try_from(drawn.as_nanos() * 10 / (MINUTE.as_nanos() + 1)).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (60..=140).contains(count)), "{tenths:?}");
        assert_ne!(draw("a", "x", MINUTE), draw("a", "y", MINUTE));
        assert_ne!(draw("ab", "c", MINUTE), draw("a", "bc", MINUTE));
    }

    #[test]
    fn no_splay_is_no_wait() {
        assert_eq!(draw("a", "b", Duration::ZERO), Duration::ZERO);
    }
}
