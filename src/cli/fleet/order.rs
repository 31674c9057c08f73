//! Orders of operators: pause, resume, abort, promote, retry, set and unset. Each is one compare-and-set of `control`.

use std::time::Duration;

use bytes::Bytes;
use clap_complete::ArgValueCandidates;
use jiff::Timestamp;

use super::super::stores::{StoreChoice, failure};
use super::super::{Common, Failure, complete, print};
use super::group::{FleetStore, shown};
use crate::fleet::picture::Picture;
use crate::fleet::record::{ControlRecord, Order, OrderSet, Record, Unreadable, VersionOrder};
use crate::fleet::terms::Share;
use crate::fleet::view::GroupState;
use crate::fleet::{GroupKey, HostName};
use crate::log::escape;
use crate::store::{Change, Condition, NodeAcl, PutOptions, StoreError};
use crate::watch::Version;

/// Between two orders that two operators give at once, one is written again.
const ATTEMPTS: usize = 10;

/// A group, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Reasoned {
    /// The group, or the key that it watches
    #[arg(add = ArgValueCandidates::new(complete::groups))]
    group: String,
    /// The reason, which `fleet status` shows
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    store: StoreChoice,
}

/// Options of `abort`.
#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(super) struct Abort {
    #[command(flatten)]
    group: Reasoned,
    /// The version that never starts again [default: the newest]
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
}

/// Options of `retry`.
#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    #[command(flatten)]
    group: Reasoned,
    /// Only these hosts
    #[arg(value_name = "HOST", value_parser = host, add = ArgValueCandidates::new(complete::fleet_hosts))]
    hosts: Vec<HostName>,
}

/// Options of `set`.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    #[command(flatten)]
    group: Reasoned,
    /// How many hosts may act at once, whatever their watch files say
    #[arg(value_name = "max_parallel=N|N%", value_parser = assignment)]
    value: Share,
    /// End the override after this time, such as 30m or 2h [default: until `unset`]
    #[arg(long = "for", value_name = "DURATION", value_parser = super::super::duration)]
    lasts: Option<Duration>,
}

/// Options of `unset`.
#[derive(Debug, clap::Args)]
pub(super) struct Unset {
    #[command(flatten)]
    group: Reasoned,
    /// The overridden field
    #[arg(value_parser = ["max_parallel"])]
    field: String,
}

/// A host as it is typed.
pub(super) fn host(text: &str) -> Result<HostName, String> {
    HostName::new(text).map_err(|error| error.to_string())
}

fn assignment(text: &str) -> Result<Share, String> {
    let wanted = "write max_parallel=5 or max_parallel=20%";
    let (field, value) = text.split_once('=').ok_or(wanted)?;
    if field != "max_parallel" {
        return Err(format!("only max_parallel can be set; {wanted}"));
    }
    let value = match value.parse::<u32>() {
        Ok(count) => serde_json::json!(count),
        Err(_) => serde_json::json!(value),
    };
    serde_json::from_value(value).map_err(|_| format!("a share is 1 or more, or 1% to 100%; {wanted}"))
}

/// Who gives an order, and when.
struct Giver {
    by: String,
    at: Timestamp,
    reason: Option<String>,
}

impl Giver {
    fn of(group: &Reasoned) -> Self {
        let user = std::env::var("SUDO_USER").ok().or_else(|| {
            nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name)
        });
        let user = user.unwrap_or_else(|| nix::unistd::getuid().to_string());
        let by = format!("{user}@{}", crate::config::hostname());
        Self { by, at: Timestamp::now(), reason: group.reason.clone() }
    }

    fn order(self, number: u64, hosts: Vec<HostName>) -> Order {
        Order { number, hosts, by: self.by, at: self.at, reason: self.reason }
    }

    fn about(self, version: Version) -> VersionOrder {
        VersionOrder { version, by: self.by, at: self.at, reason: self.reason }
    }
}

fn next(order: Option<&Order>) -> u64 {
    order.map_or(1, |order| order.number.saturating_add(1))
}

/// `twitcher fleet pause`.
pub(super) async fn pause(args: Reasoned, common: &Common) -> Result<(), Failure> {
    give(&args, common, |picture, control, giver| {
        limited(picture, "pause")?;
        control.paused = Some(giver.order(next(control.paused.as_ref()), Vec::new()));
        Ok("paused: nothing new starts".to_owned())
    })
    .await
}

/// `twitcher fleet resume`.
pub(super) async fn resume(args: Reasoned, common: &Common) -> Result<(), Failure> {
    give(&args, common, |picture, control, giver| {
        limited(picture, "resume")?;
        if picture.state() == GroupState::Aborted {
            let version = current(picture)?;
            return Err(Failure::new(format!(
                "version {version} is aborted and never starts again: put a newer one"
            )));
        }
        control.paused = None;
        control.resumed = Some(giver.order(next(control.resumed.as_ref()), Vec::new()));
        Ok("resumed: failures so far are forgiven".to_owned())
    })
    .await
}

/// `twitcher fleet abort`.
pub(super) async fn abort(args: Abort, common: &Common) -> Result<(), Failure> {
    give(&args.group, common, |picture, control, giver| {
        limited(picture, "abort")?;
        let version = args.version.map_or_else(|| current(picture), Ok)?;
        control.aborted = Some(giver.about(version));
        Ok(format!("version {version} is aborted: it starts nowhere any more"))
    })
    .await
}

/// `twitcher fleet promote`.
pub(super) async fn promote(args: Reasoned, common: &Common) -> Result<(), Failure> {
    give(&args, common, |picture, control, giver| {
        limited(picture, "promote")?;
        let version = current(picture)?;
        control.promoted = Some(giver.about(version));
        Ok(format!("version {version} is promoted: no canaries, waves or soaks"))
    })
    .await
}

/// `twitcher fleet retry`.
pub(super) async fn retry(args: Retry, common: &Common) -> Result<(), Failure> {
    give(&args.group, common, |picture, control, giver| {
        limited(picture, "retry")?;
        if let Some(unknown) = args.hosts.iter().find(|host| !picture.group.members.contains_key(*host)) {
            let unknown = escape::line(unknown.to_string().as_bytes());
            return Err(Failure::new(format!(
                "{unknown} is no host of it; `twitcher fleet hosts` shows them"
            )));
        }
        control.retry = Some(giver.order(next(control.retry.as_ref()), args.hosts.clone()));
        Ok("failed hosts get a permit to try again".to_owned())
    })
    .await
}

/// `twitcher fleet set`.
pub(super) async fn set(args: Set, common: &Common) -> Result<(), Failure> {
    give(&args.group, common, |picture, control, giver| {
        limited(picture, "set")?;
        let number = control.set.as_ref().map_or(1, |set| set.number.saturating_add(1));
        let Giver { by, at, reason } = giver;
        control.set = Some(OrderSet { max_parallel: args.value, lasts: args.lasts, number, by, at, reason });
        Ok("max_parallel is set".to_owned())
    })
    .await
}

/// `twitcher fleet unset`.
pub(super) async fn unset(args: Unset, common: &Common) -> Result<(), Failure> {
    give(&args.group, common, |_, control, _| {
        control.set = None;
        Ok(format!("{} is what the hosts say", args.field))
    })
    .await
}

fn limited(picture: &Picture, order: &str) -> Result<(), Failure> {
    if picture.is_limited() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "there are no permits here to {order}: all hosts have max_parallel = \"unlimited\""
    )))
}

fn current(picture: &Picture) -> Result<Version, Failure> {
    let id = picture.group.measure.id.map(|id| id.version);
    id.ok_or_else(|| Failure::new("there is no version yet"))
}

/// Changes `control`, and says what from now on holds.
async fn give(
    args: &Reasoned,
    common: &Common,
    change: impl Fn(&Picture, &mut ControlRecord, Giver) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let place = FleetStore::open(&args.store, common).await?;
    let said = write(&place, args, change).await;
    place.close().await;
    print(&(said? + "\n"))
}

async fn write(
    place: &FleetStore,
    args: &Reasoned,
    change: impl Fn(&Picture, &mut ControlRecord, Giver) -> Result<String, Failure>,
) -> Result<String, Failure> {
    let mut picture = place.picture(&args.group).await?;
    let name = picture.name.clone();
    let key = place.keys(&name)?.of(&GroupKey::Control);
    for _ in 0..ATTEMPTS {
        let entry = place.access.get(&key).await.map_err(failure)?;
        let value = entry.as_ref().and_then(|entry| entry.value.clone()).unwrap_or_default();
        let mut control = match ControlRecord::decode(&value) {
            _ if entry.is_none() => ControlRecord::default(),
            Ok(control) => control,
            Err(Unreadable::Later(format)) => {
                return Err(Failure::new(format!(
                    "the orders of {} are of format {format}, which a later version of twitcher wrote: update this one",
                    shown(&name)
                )));
            }
            // An unreadable control counts as a pause, and this order replaces it.
            Err(Unreadable::Garbage(_) | Unreadable::TooLong(..)) => ControlRecord::default(),
        };
        let said = change(&picture, &mut control, Giver::of(args))
            .map_err(|failure| failure.to(&format!("give the order to {}", shown(&name))))?;
        let value = control.encode().map_err(|error| {
            Failure::new(format!(
                "the orders of {} are too long: {error}; give a shorter --reason, or name fewer hosts",
                shown(&name)
            ))
        })?;
        let condition = entry.map_or(Condition::Absent, |entry| Condition::Version(entry.version));
        let options = PutOptions::default().with_acl(NodeAcl::Parent);
        let put = Change::Put { key: key.clone(), value: Bytes::from(value), condition, options };
        match place.access.transact(&[put]).await {
            Ok(_) => return Ok(format!("{}: {said}", shown(&name))),
            Err(StoreError::Conflict { .. }) => picture = place.picture(name.to_string().as_str()).await?,
            Err(error) => return Err(failure(error)),
        }
    }
    Err(Failure::new(format!("others changed the orders of {} each time; try again", shown(&name))))
}
