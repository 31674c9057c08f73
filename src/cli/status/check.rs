//! `status --check`: the state of all watches as an exit status.

use super::table::summary;
use super::urgency::Urgency;
use crate::status::{Status, WatchState, WatchStatus};

/// The form of `--check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Style {
    /// A script: exit 1 unless all are converged
    Exit,
    /// A monitoring system: one line, and exit 0, 1, 2 or 3
    Nagios,
}

/// Disabled watches do not count.
fn judged(status: &Status) -> impl Iterator<Item = &WatchStatus> {
    status.watches.iter().filter(|watch| watch.state != WatchState::Disabled)
}

pub(super) fn is_converged(status: &Status) -> bool {
    judged(status).all(|watch| watch.converged)
}

/// The line and exit status of a monitoring plugin; for an error, why there is no status.
pub(super) fn nagios(asked: Result<Status, String>) -> (String, u8) {
    let status = match asked {
        Ok(status) => status,
        Err(why) => return (format!("TWITCHER UNKNOWN - {}\n", why.replace('\n', " ")), 3),
    };
    let critical = |watch: &WatchStatus| watch.gave_up || watch.held || watch.unreachable;
    let code = if judged(&status).any(critical) { 2 } else { u8::from(!is_converged(&status)) };
    let word = ["OK", "WARNING", "CRITICAL"][usize::from(code)];
    let mut bad: Vec<_> = judged(&status).filter(|watch| !watch.converged).collect();
    bad.sort_by_key(|watch| Urgency::of(watch));
    let named: Vec<String> =
        bad.iter().take(3).map(|watch| format!("{} {}", watch.name, watch.state.word())).collect();
    let rest = if bad.len() > named.len() {
        format!(" and {} more", bad.len() - named.len())
    } else {
        String::new()
    };
    let named = if named.is_empty() { String::new() } else { format!(": {}{rest}", named.join(", ")) };
    (format!("TWITCHER {word} - {}{named}\n", summary(&status, jiff::Timestamp::now())), code)
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::{sample, watch};
    use super::*;

    #[test]
    fn nagios_exits_by_the_worst_watch() {
        let of = |watches: Vec<WatchStatus>| nagios(Ok(Status { watches, ..sample() })).1;
        let ok = || watch("a", WatchState::Idle, true);
        assert_eq!(of(vec![]), 0);
        assert_eq!(of(vec![ok()]), 0);
        assert_eq!(of(vec![ok(), watch("d", WatchState::Disabled, false)]), 0);
        for state in [
            WatchState::Running,
            WatchState::Settling,
            WatchState::Splaying,
            WatchState::Waiting,
            WatchState::Retrying,
            WatchState::Paused,
            WatchState::Idle,
        ] {
            assert_eq!(of(vec![ok(), watch("b", state, false)]), 1, "{state:?}");
        }
        for state in [WatchState::Failed, WatchState::Stopped, WatchState::Held, WatchState::Unreachable] {
            let bad = watch("b", state, false);
            assert_eq!(of(vec![ok(), watch("c", WatchState::Running, false), bad]), 2, "{state:?}");
        }
        assert_eq!(nagios(Err("no daemon".into())), ("TWITCHER UNKNOWN - no daemon\n".into(), 3));
    }

    #[test]
    fn one_line_names_the_worst() {
        let mut watches =
            vec![watch("b", WatchState::Retrying, false), watch("a", WatchState::Failed, false)];
        watches.extend(["c", "d"].map(|name| watch(name, WatchState::Running, false)));
        let (line, code) = nagios(Ok(Status { watches, ..sample() }));
        assert!(line.starts_with("TWITCHER CRITICAL - 4 watches: 1 FAILED, 1 retrying, 2 running"), "{line}");
        assert!(line.ends_with(": a failed, b retrying, c running and 1 more\n"), "{line}");
        assert_eq!((code, line.matches('\n').count()), (2, 1));
    }
}
