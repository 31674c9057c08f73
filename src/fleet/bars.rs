//! Progress of each wave of a rollout, for display.

use super::picture::Picture;
use super::terms::Share;

/// The progress of one wave. It counts only the hosts that the wave adds to those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// For display, such as `canaries`, `to 10%`, `all`.
    pub name: String,
    /// How many hosts it adds.
    pub size: u32,
    /// How many of them have the version.
    pub done: u32,
    /// The wave is open.
    pub is_open: bool,
}

impl Picture {
    /// The waves of the newest version, first to last. The last one, `all`, is always there.
    pub fn bars(&self) -> Vec<Bar> {
        let sums = &self.group.sums;
        let (members, converged) = (sums.counts.members, sums.counts.converged);
        let terms = self.rollout.terms.as_ref().map(|in_force| &in_force.terms).filter(|_| self.is_limited());
        let canaries = terms.filter(|terms| !terms.canary.is_empty()).map(|_| sums.canaries);
        let mut bars = Vec::new();
        let mut before = 0;
        if let Some(size) = canaries {
            let done = size.saturating_sub(sums.canaries_left);
            bars.push(Bar { name: "canaries".to_owned(), size, done, is_open: false });
            before = size;
        }
        let mut add = |name: String, upto: u32| {
            let upto = upto.clamp(before, members.max(before));
            let size = upto - before;
            let done = converged.saturating_sub(before).min(size);
            bars.push(Bar { name, size, done, is_open: false });
            before = upto;
        };
        for share in terms.into_iter().flat_map(|terms| &terms.waves) {
            let name = match share {
                Share::Count(count) => format!("to {count}"),
                Share::Percent(percent) => format!("to {percent}%"),
            };
            add(name, share.at_most(self.rollout.base));
        }
        add("all".to_owned(), members);
        let open = usize::try_from(self.rollout.wave).unwrap_or(usize::MAX).checked_sub(1);
        if let Some(bar) = open.and_then(|open| bars.get_mut(open)) {
            bar.is_open = true;
        }
        bars
    }
}
