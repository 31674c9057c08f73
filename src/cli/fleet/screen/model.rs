//! The state of the full-screen view of a group: what was read, what happened, and the first host shown. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::cli::tree::keys::Act;
use crate::fleet::bars::Bar;
use crate::fleet::report::{GroupStatus, HostStatus, Tone};

/// Lines of news that are kept, the newest ones.
const NEWS: usize = 500;

/// A group as it was read once.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) status: GroupStatus,
    pub(super) bars: Vec<Bar>,
    /// In the order in which they act; those with the version last.
    pub(super) hosts: Vec<HostStatus>,
}

impl Seen {
    /// Hosts that do not have the version, or are silent.
    pub(super) fn listed(&self) -> impl Iterator<Item = &HostStatus> {
        let is_listed = |host: &&HostStatus| host.state != "converged" || !host.flags.is_empty();
        self.hosts.iter().filter(is_listed)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) at: Timestamp,
    pub(super) text: String,
    /// An operator has to look at it.
    pub(super) is_bad: bool,
}

/// What a key asks of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    Redraw,
    Suspend,
}

/// The view.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) seen: Option<Seen>,
    /// Why the last reading failed.
    pub(super) error: Option<String>,
    /// The newest last.
    pub(super) news: VecDeque<News>,
    /// The first host that is shown.
    pub(super) first: usize,
    /// Rows for hosts, as last drawn.
    pub(super) rows: usize,
    pub(super) help: bool,
}

impl View {
    /// The group was read.
    pub(super) fn show(&mut self, seen: Seen, now: Timestamp) {
        self.error = None;
        if let Some(before) = &self.seen {
            self.news.extend(news(before, &seen, now));
            let spare = self.news.len().saturating_sub(NEWS);
            self.news.drain(..spare);
        }
        self.seen = Some(seen);
        self.scroll_to(self.first);
    }

    /// It could not be read.
    pub(super) fn fail(&mut self, why: String) {
        self.error = Some(why);
    }

    /// A key was typed.
    pub(super) fn act(&mut self, act: Act) -> Option<Effect> {
        let page = self.rows.max(1);
        match act {
            Act::Quit => return Some(Effect::Quit),
            Act::Redraw => return Some(Effect::Redraw),
            Act::Suspend => return Some(Effect::Suspend),
            Act::Help => self.help = !self.help,
            Act::Cancel => self.help = false,
            Act::Up => self.scroll_to(self.first.saturating_sub(1)),
            Act::Down => self.scroll_to(self.first.saturating_add(1)),
            Act::PageUp => self.scroll_to(self.first.saturating_sub(page)),
            Act::PageDown => self.scroll_to(self.first.saturating_add(page)),
            Act::Home => self.scroll_to(0),
            Act::End => self.scroll_to(usize::MAX),
            Act::Left
            | Act::Right
            | Act::Toggle
            | Act::OpenBelow
            | Act::CloseBelow
            | Act::SwitchPane
            | Act::ShowValue
            | Act::NextMode
            | Act::Mode(_)
            | Act::Search
            | Act::Next
            | Act::Previous
            | Act::Type(_)
            | Act::Erase
            | Act::EraseWord
            | Act::EraseAll
            | Act::Accept => {}
        }
        None
    }

    fn scroll_to(&mut self, first: usize) {
        let hosts = self.seen.as_ref().map_or(0, |seen| seen.listed().count());
        self.first = first.min(hosts.saturating_sub(self.rows.max(1)));
    }
}

/// What happened between two readings.
fn news(before: &Seen, after: &Seen, at: Timestamp) -> Vec<News> {
    let mut news = Vec::new();
    let mut tell = |text: String, is_bad: bool| news.push(News { at, text, is_bad });
    let (old, new) = (&before.status, &after.status);
    if new.version != old.version {
        tell(format!("version {}", new.version.as_deref().unwrap_or("-")), false);
    }
    if new.state != old.state {
        tell(format!("{} after {}", new.state, old.state), Tone::of(new.state) == Tone::Bad);
    }
    match (old.wave, new.wave) {
        (Some(old), Some(new)) if old.number != new.number => {
            tell(format!("wave {} of {}", new.number, new.of), false);
        }
        _ => {}
    }
    let conductor = |status: &GroupStatus| status.conductor.as_ref().map(|conductor| conductor.host.clone());
    match (conductor(old), conductor(new)) {
        (old, Some(new)) if old.as_ref() != Some(&new) => tell(format!("{new} conducts"), false),
        (Some(old), None) => tell(format!("{old} does not conduct any more"), true),
        (Some(_) | None, Some(_)) | (None, None) => {}
    }
    let known: BTreeMap<&str, &HostStatus> =
        before.hosts.iter().map(|host| (host.host.as_str(), host)).collect();
    for host in &after.hosts {
        let name = &host.host;
        let Some(known) = known.get(name.as_str()) else {
            tell(format!("{name} joined"), false);
            continue;
        };
        let is_new = |flag: &&&str| !known.flags.contains(flag);
        for flag in host.flags.iter().filter(is_new) {
            tell(format!("{name} is {flag}"), true);
        }
        if known.flags.contains(&"silent") && !host.flags.contains(&"silent") {
            tell(format!("{name} is back"), false);
        }
        if host.state == known.state {
            continue;
        }
        match host.state {
            "failed" | "conflict" | "retrying" => {
                let why = host.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                tell(format!("{name} {}{why}", host.state), host.state != "retrying");
            }
            "converged" | "hold" if known.state != "hold" => tell(format!("{name} converged"), false),
            "running" => tell(format!("{name} runs"), false),
            _ => {}
        }
    }
    let present: BTreeSet<&str> = after.hosts.iter().map(|host| host.host.as_str()).collect();
    for gone in before.hosts.iter().filter(|host| !present.contains(host.host.as_str())) {
        tell(format!("{} left", gone.host), false);
    }
    news
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fleet::record::Counts;
    use crate::fleet::report::{ConductorStatus, PermitsStatus, WaveStatus};

    pub(in super::super) fn host(name: &str, state: &'static str) -> HostStatus {
        HostStatus {
            host: name.to_owned(),
            state,
            flags: Vec::new(),
            version: Some("2".to_owned()),
            applied: Some("1".to_owned()),
            attempt: 0,
            exit_code: None,
            since: Some(Timestamp::UNIX_EPOCH),
            why: None,
        }
    }

    pub(in super::super) fn seen(hosts: Vec<HostStatus>) -> Seen {
        let members = u32::try_from(hosts.len()).unwrap();
        let status = GroupStatus {
            group: "git".to_owned(),
            store: "main".to_owned(),
            key: Some("/git/head".to_owned()),
            version: Some("2".to_owned()),
            state: "rolling",
            since: Some(Timestamp::UNIX_EPOCH),
            started: Some(Timestamp::UNIX_EPOCH),
            conductor: Some(ConductorStatus { host: "web-1".to_owned(), since: Timestamp::UNIX_EPOCH }),
            wave: Some(WaveStatus { number: 2, of: 2, target: members }),
            permits: PermitsStatus { held: 1, limit: Some(1) },
            hosts: Counts { members, converged: 1, acting: 1, asking: 1, ..Counts::default() },
            converged: false,
            terms: None,
            disagree: Vec::new(),
            failures: Vec::new(),
            silent: Vec::new(),
            name_conflicts: Vec::new(),
            rollouts: Vec::new(),
            why: None,
        };
        let bar = |name: &str, size, done, is_open| Bar { name: name.to_owned(), size, done, is_open };
        Seen { status, bars: vec![bar("canaries", 1, 1, false), bar("all", members - 1, 0, true)], hosts }
    }

    #[test]
    fn what_happened_between_two_readings_is_told_once() {
        let before = seen(vec![host("a", "running"), host("b", "asking"), host("gone", "asking")]);
        let failed = HostStatus { why: Some("exit code 7".to_owned()), ..host("b", "failed") };
        let silent = HostStatus { flags: vec!["silent"], ..host("a", "converged") };
        let mut after = seen(vec![silent, failed, host("new", "asking")]);
        after.status.state = "stopped";
        let mut view = View::default();
        view.show(before, Timestamp::UNIX_EPOCH);
        assert!(view.news.is_empty());
        view.show(after.clone(), Timestamp::UNIX_EPOCH);
        let told: Vec<&str> = view.news.iter().map(|news| news.text.as_str()).collect();
        let expected = [
            "stopped after rolling",
            "a is silent",
            "a converged",
            "b failed: exit code 7",
            "new joined",
            "gone left",
        ];
        assert_eq!(told, expected);
        view.show(after, Timestamp::UNIX_EPOCH);
        assert_eq!(view.news.len(), expected.len());
    }

    #[test]
    fn scrolling_ends_at_the_last_host() {
        let mut view = View { rows: 2, ..View::default() };
        view.show(seen(["a", "b", "c"].map(|name| host(name, "asking")).to_vec()), Timestamp::UNIX_EPOCH);
        assert_eq!(view.act(Act::End), None);
        assert_eq!(view.first, 1);
        assert_eq!(view.act(Act::PageUp), None);
        assert_eq!(view.first, 0);
        view.act(Act::Down);
        view.show(seen(vec![host("a", "asking")]), Timestamp::UNIX_EPOCH);
        assert_eq!(view.first, 0, "the hosts after it have converged");
        assert_eq!(view.act(Act::Quit), Some(Effect::Quit));
    }
}
