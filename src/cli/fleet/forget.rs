//! `twitcher fleet forget`: drops the records of hosts that are gone.

use std::fmt::Write as _;
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::super::span::spent;
use super::super::stores::{StoreChoice, failure};
use super::super::{Common, Failure, complete, print};
use super::group::FleetStore;
use crate::fleet::picture::Picture;
use crate::fleet::{GroupKey, HostName};
use crate::log::escape;
use crate::store::{Change, Condition, StoreError};
use crate::watch::Version;

/// Delete the records of hosts that are gone; a host that is alive writes its record again
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group, or the key that it watches
    #[arg(add = ArgValueCandidates::new(complete::groups))]
    group: String,
    /// The hosts
    #[arg(value_name = "HOST", value_parser = super::order::host, add = ArgValueCandidates::new(complete::fleet_hosts), required_unless_present = "silent", conflicts_with = "silent")]
    hosts: Vec<HostName>,
    /// All hosts that have been silent or down for this long, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = super::super::duration)]
    silent: Option<Duration>,
    /// Also a host that is alive or holds a permit. The permit is freed: more hosts than the limit may then act at once
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    store: StoreChoice,
}

/// Deletes the records.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let place = FleetStore::open(&args.store, common).await?;
    let said = forget(&args, &place).await;
    place.close().await;
    print(&said?)
}

async fn forget(args: &Args, place: &FleetStore) -> Result<String, Failure> {
    let picture = place.picture(&args.group).await?;
    let hosts = match args.silent {
        Some(least) => gone_for(&picture, least),
        None => args.hosts.clone(),
    };
    let mut text = String::new();
    for host in &hosts {
        let name = escape::line(host.to_string().as_bytes());
        match one(&picture, host, args, place).await {
            Ok(()) => drop(writeln!(text, "forgot {name}")),
            Err(failure) if args.silent.is_some() => drop(writeln!(text, "kept {name}: {failure}")),
            Err(failure) => return Err(failure.to(&format!("forget {name}"))),
        }
    }
    if hosts.is_empty() {
        text.push_str("no host has been silent for that long\n");
    }
    Ok(text)
}

/// Hosts without a living daemon for that long, by the conductor's clock or their own last word.
fn gone_for(picture: &Picture, least: Duration) -> Vec<HostName> {
    let now = jiff::Timestamp::now();
    let silent = picture.summary.as_ref().map(|summary| summary.silent.clone()).unwrap_or_default();
    let members = picture.group.members.iter().filter(|(host, member)| {
        let record = member.keys.record.as_deref();
        let since = silent.get(*host).copied().or_else(|| record.map(|record| record.since));
        !member.keys.alive && since.is_some_and(|since| spent(since, now) >= least.as_secs_f64())
    });
    members.map(|(host, _)| host.clone()).collect()
}

async fn one(picture: &Picture, host: &HostName, args: &Args, place: &FleetStore) -> Result<(), Failure> {
    let Some(member) = picture.group.members.get(host) else {
        return Err(Failure::new("it is no host of the group; `twitcher fleet hosts` shows them"));
    };
    if member.keys.alive && !args.force {
        return Err(Failure::new(
            "it lives, and would write its record again; --force drops it all the same",
        ));
    }
    let has_permit = member.permit_revision().0 > 0;
    if has_permit && !args.force {
        return Err(Failure::new("it holds a permit, and may still run; --force frees that"));
    }
    let keys = place.keys(&picture.name)?;
    let key = |key| keys.of(&key);
    let mut changes = Vec::new();
    if !args.force {
        changes
            .push(Change::Require { key: key(GroupKey::Alive(host.clone())), condition: Condition::Absent });
        changes
            .push(Change::Require { key: key(GroupKey::Permit(host.clone())), condition: Condition::Absent });
    } else if has_permit {
        let condition = Condition::Version(Version::Revision(member.permit_revision().0));
        changes.push(Change::Delete { key: key(GroupKey::Permit(host.clone())), condition });
    }
    let at = member.record_revision().0;
    if at > 0 {
        let condition = Condition::Version(Version::Revision(at));
        changes.push(Change::Delete { key: key(GroupKey::Host(host.clone())), condition });
    }
    match place.access.transact(&changes).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict { .. }) => Err(Failure::new("it has just changed; look again")),
        Err(error) => Err(failure(error)),
    }
}
