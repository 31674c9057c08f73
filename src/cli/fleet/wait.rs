//! `twitcher fleet wait`: returns when the members of a group have a version, or when it is certain that they will not.

use std::time::Duration;

use clap_complete::ArgValueCandidates;
use tokio::time::Instant;

use super::super::stores::StoreChoice;
use super::super::{Common, Failure, complete, print};
use super::group::{FleetStore, shown, whereabouts};
use crate::fleet::picture::Picture;
use crate::fleet::view::GroupState;
use crate::fleet::{StateId, StateIdentity};
use crate::log::escape;
use crate::store::{Store, Subscribe};
use crate::watch::Version;

/// Exit statuses.
const CANNOT_TELL: u8 = 1;
const STUCK: u8 = 3;
const TIMED_OUT: u8 = 4;
const NOTHING: u8 = 5;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Hosts that are named in the last line.
const NAMED: usize = 20;

/// Wait until the hosts of a group have applied a version
#[derive(Debug, clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "Exit status: 0 all have it, 1 cannot tell, 2 wrong usage, 3 no host acts and none will by itself (stopped, aborted, paused, no canary alive, or done with failed hosts), 4 timed out, 5 nothing to wait for.\n\nExamples:\n  twitcher fleet wait git --timeout 20m\n  twitcher fleet wait /git/head --version 1042 --allow-missing 2%"
)]
pub(super) struct Args {
    /// The group, or the key that it watches
    #[arg(add = ArgValueCandidates::new(complete::groups))]
    group: String,
    /// This version or a later one [default: the newest at the start]
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = super::super::duration)]
    timeout: Duration,
    /// How many members may lack the version: a number or a percentage
    #[arg(long, value_name = "N|P%", value_parser = allowance)]
    allow_missing: Option<Allowance>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreChoice,
}

/// How many members may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    Count(usize),
    Percent(usize),
}

impl Allowance {
    fn of(self, members: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => members * percent / 100,
        }
    }
}

fn allowance(text: &str) -> Result<Allowance, String> {
    let wanted = "write a number of hosts such as 3, or a percentage such as 2%";
    let number = |text: &str| text.parse::<usize>().map_err(|_| wanted.to_owned());
    match text.strip_suffix('%') {
        Some(percent) => number(percent)
            .and_then(|p| if p <= 100 { Ok(Allowance::Percent(p)) } else { Err(wanted.to_owned()) }),
        None => number(text).map(Allowance::Count),
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A state that was read, or a later one.
    State(StateId),
    /// A version that was named, or a later one.
    Version(Version),
}

impl Wanted {
    fn version(self) -> Version {
        match self {
            Self::State(id) => id.version,
            Self::Version(version) => version,
        }
    }

    /// Whether a member that applied this state has what is wanted. `None`: which one is later is unknown.
    fn is_met(self, applied: StateId, picture: &Picture) -> Option<bool> {
        let identity = picture.group.measure.identity;
        if let Self::State(id) = self
            && id.is_same(&applied, identity)
        {
            return Some(true);
        }
        let version = self.version();
        if applied.version == version
            && (identity == StateIdentity::Content || matches!(self, Self::Version(_)))
        {
            return Some(true);
        }
        // The same content under another version of the rollout.
        if let Some(id) = picture.rollout.id
            && id.is_same(&applied, identity)
            && id.version == version
        {
            return Some(true);
        }
        let newest = picture.rollout.id.map(|id| id.version);
        let history: Vec<Version> =
            newest.into_iter().chain(picture.rollout.past.iter().map(|past| past.version)).collect();
        let place = |version| history.iter().position(|known| *known == version);
        match (place(applied.version), place(version)) {
            (Some(applied), Some(wanted)) => return Some(applied <= wanted),
            (None, Some(_)) if matches!(applied.version, Version::Hash(_)) => return Some(false),
            (Some(_) | None, Some(_) | None) => {}
        }
        match (applied.version, version) {
            (Version::Revision(applied), Version::Revision(wanted)) => Some(applied > wanted),
            (Version::Revision(_) | Version::Hash(_), Version::Revision(_) | Version::Hash(_)) => None,
        }
    }
}

/// What the keys say.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Converged,
    OnTheWay,
    /// Some members cannot be judged.
    Unclear,
    /// Nothing more happens by itself.
    Stuck(String),
    Nothing,
}

/// The members that do not have it.
fn missing(picture: &Picture, wanted: Wanted) -> (Vec<String>, bool) {
    let (mut missing, mut unclear) = (Vec::new(), false);
    for (host, member) in &picture.group.members {
        if !member.standing().is_some_and(|standing| standing.member) {
            continue;
        }
        let record = member.keys.record.as_deref();
        let has = record.and_then(|record| record.applied).map(|applied| wanted.is_met(applied, picture));
        unclear |= has == Some(None);
        if has != Some(Some(true)) {
            missing.push(host.to_string());
        }
    }
    (missing, unclear)
}

fn verdict(picture: &Picture, wanted: Wanted, allowed: Option<Allowance>) -> Verdict {
    let (missing, unclear) = missing(picture, wanted);
    let sums = &picture.group.sums;
    let members = usize::try_from(sums.counts.members).unwrap_or(usize::MAX);
    if members == 0 {
        return Verdict::Nothing;
    }
    if missing.len() <= allowed.map_or(0, |allowed| allowed.of(members)) {
        return Verdict::Converged;
    }
    if picture.acting() == 0
        && let Some(why) = stuck(picture, wanted)
    {
        return Verdict::Stuck(why);
    }
    if unclear { Verdict::Unclear } else { Verdict::OnTheWay }
}

/// Why nothing more happens by itself while no host acts.
fn stuck(picture: &Picture, wanted: Wanted) -> Option<String> {
    let counts = picture.group.sums.counts;
    let so_far = format!("{} of {}", counts.converged, counts.members);
    // What became of an older version says nothing about this one.
    let is_rolled = picture.rollout.id.is_some_and(|id| wanted.is_met(id, picture) == Some(true));
    let failed: Vec<String> =
        picture.status("").failures.iter().map(|failure| escape::line(failure.host.as_bytes())).collect();
    let names = if failed.is_empty() {
        String::new()
    } else {
        format!(", {} failed: {}", failed.len(), failed.join(", "))
    };
    match picture.state() {
        GroupState::Aborted if is_rolled => Some(format!("aborted at {so_far}{names}")),
        GroupState::Stopped if is_rolled => Some(format!("stopped at {so_far}{names}")),
        GroupState::Paused => Some(format!("paused at {so_far}")),
        GroupState::Done if is_rolled && !failed.is_empty() => Some(format!("done at {so_far}{names}")),
        GroupState::Rolling if picture.is_canary_dead() => Some(format!("no canary is alive, at {so_far}")),
        GroupState::Idle
        | GroupState::Rolling
        | GroupState::Soaking
        | GroupState::Done
        | GroupState::Aborted
        | GroupState::Stopped
        | GroupState::Unconducted => None,
    }
}

/// Asks until it is certain.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let deadline = Instant::now() + args.timeout;
    let (spec, prefix, is_apart) = whereabouts(&args.store, common)?;
    let mut place: Option<FleetStore> = None;
    let mut wanted = args.version.map(Wanted::Version);
    let mut told = String::new();
    loop {
        if place.is_none() {
            place = FleetStore::connect(spec.clone(), prefix.clone(), is_apart).await.ok();
        }
        let looked = match &place {
            Some(place) => Some(look(&args, place, &mut wanted).await),
            None => None,
        };
        let is_over = Instant::now() >= deadline;
        let last = match looked {
            Some(Ok(Some((picture, verdict)))) => {
                let counts = picture.group.sums.counts;
                let line = format!(
                    "{} {}: {}, {} of {} converged",
                    shown(&picture.name),
                    wanted.map(|wanted| wanted.version().to_string()).unwrap_or_default(),
                    picture.state().word(),
                    counts.converged,
                    counts.members
                );
                if line != told {
                    eprintln!("{line}");
                    told = line;
                }
                let status = match &verdict {
                    Verdict::Converged => Some(0),
                    Verdict::Stuck(_) => Some(STUCK),
                    Verdict::Nothing => Some(NOTHING),
                    Verdict::Unclear if is_over => Some(CANNOT_TELL),
                    Verdict::OnTheWay if is_over => Some(TIMED_OUT),
                    Verdict::Unclear | Verdict::OnTheWay => None,
                };
                status.map(|status| (status, say(&args, &picture, &verdict, wanted, &spec.name)))
            }
            Some(Ok(None)) => Some((
                NOTHING,
                format!("{}: there is nothing to wait for\n", escape::line(args.group.as_bytes())),
            )),
            Some(Err(failure)) if failure.is_usage() => return Err(failure),
            Some(Err(_)) | None => {
                place = None;
                is_over.then(|| (CANNOT_TELL, format!("store {} did not answer\n", spec.name)))
            }
        };
        if let Some((status, text)) = last {
            if let Some(place) = place {
                place.close().await;
            }
            print(&text)?;
            return if status == 0 { Ok(()) } else { Err(Failure::silent(status)) };
        }
        tokio::time::sleep_until((Instant::now() + PAUSE).min(deadline)).await;
    }
}

/// Reads all records; `None` where there is no group, or its key has no value.
async fn look(
    args: &Args,
    place: &FleetStore,
    wanted: &mut Option<Wanted>,
) -> Result<Option<(Picture, Verdict)>, Failure> {
    let Some(picture) = place.find(&args.group).await? else { return Ok(None) };
    if wanted.is_none() {
        *wanted = match newest(place, &picture).await {
            Newest::State(id) => Some(Wanted::State(id)),
            Newest::Absent => None,
            Newest::Unread => {
                eprintln!(
                    "{}: its key cannot be read: waiting for the highest version that a host has seen",
                    shown(&picture.name)
                );
                picture.highest_seen().or(picture.rollout.id).map(Wanted::State)
            }
        };
    }
    let Some(wanted) = *wanted else { return Ok(None) };
    let verdict = verdict(&picture, wanted, args.allow_missing);
    Ok(Some((picture, verdict)))
}

/// The newest state of the watched key.
enum Newest {
    State(StateId),
    Absent,
    Unread,
}

async fn newest(place: &FleetStore, picture: &Picture) -> Newest {
    let Some((watch_type, key)) = picture.target() else { return Newest::Unread };
    let store = Store::open(place.spec.clone());
    let mut subscription = store.subscribe(Subscribe::new(key, watch_type));
    match tokio::time::timeout(super::group::PATIENCE, subscription.next()).await {
        Ok(update) if update.state.content.is_absent() => {
            // Another store may hold it.
            if place.is_apart { Newest::Unread } else { Newest::Absent }
        }
        Ok(update) => Newest::State(StateId::new(update.state.version, &update.state.content)),
        Err(_) => Newest::Unread,
    }
}

/// The last line: how it ended, and who is missing.
fn say(
    args: &Args,
    picture: &Picture,
    verdict: &Verdict,
    wanted: Option<Wanted>,
    store: &crate::watch::StoreName,
) -> String {
    let (missing, _) = wanted.map(|wanted| missing(picture, wanted)).unwrap_or_default();
    if args.json {
        let mut value = serde_json::to_value(picture.status(store.as_str())).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("missing".to_owned(), missing.into());
        }
        return format!("{value}\n");
    }
    let version = wanted.map(|wanted| wanted.version().to_string()).unwrap_or_default();
    let members = picture.group.sums.counts.members;
    let mut named: Vec<String> =
        missing.iter().take(NAMED).map(|host| escape::line(host.as_bytes())).collect();
    if missing.len() > NAMED {
        named.push(format!("and {} more", missing.len() - NAMED));
    }
    let named = named.join(", ");
    let said = match verdict {
        Verdict::Converged if missing.is_empty() => format!("all {members} have it"),
        Verdict::Converged => format!("enough of {members} have it, missing: {named}"),
        Verdict::Stuck(why) => why.clone(),
        Verdict::Nothing => "it has no members".to_owned(),
        Verdict::Unclear => format!("cannot tell which version is later; missing: {named}"),
        Verdict::OnTheWay => format!("timed out, missing: {named}"),
    };
    format!("{} {version}: {said}\n", shown(&picture.name))
}
