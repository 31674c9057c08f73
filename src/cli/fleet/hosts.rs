//! `twitcher fleet hosts`: one line a host of a group.

use std::io::IsTerminal;

use clap_complete::ArgValueCandidates;
use unicode_width::UnicodeWidthStr as _;

use super::super::columns::{self, cut, filled};
use super::super::span::{span, spent};
use super::super::stores::StoreChoice;
use super::super::{Common, Failure, complete, print};
use super::group::FleetStore;
use crate::fleet::report::HostStatus;
use crate::log::escape;

const STATES: [&str; 9] =
    ["converged", "asking", "granted", "running", "retrying", "hold", "behind", "failed", "conflict"];
const FLAGS: [&str; 3] = ["silent", "down", "over"];

/// Show the hosts of a group, one a line
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group, or the key that it watches
    #[arg(add = ArgValueCandidates::new(complete::groups))]
    group: String,
    /// Only hosts in this state, or with this flag: silent, down, over
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(STATES.into_iter().chain(FLAGS)))]
    state: Option<String>,
    /// Sort by the order in which the hosts act
    #[arg(long)]
    order: bool,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreChoice,
}

/// Reads and prints.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let place = FleetStore::open(&args.store, common).await?;
    let picture = place.picture(&args.group).await;
    place.close().await;
    let picture = picture?;
    let mut hosts = picture.hosts(args.order);
    if let Some(state) = &args.state {
        hosts.retain(|host| host.state == state || host.flags.contains(&state.as_str()));
    }
    if args.json {
        let value = serde_json::json!({ "group": picture.name.to_string(), "hosts": hosts });
        return print(&format!("{value}\n"));
    }
    print(&table(&hosts, jiff::Timestamp::now(), columns::width(), std::io::stdout().is_terminal()))
}

/// A line for each host, and titles above them.
pub(super) fn table(
    hosts: &[HostStatus],
    now: jiff::Timestamp,
    width: Option<usize>,
    titled: bool,
) -> String {
    const GAP: usize = 2;
    let head = ["HOST", "STATE", "VERSION", "SINCE", "WHY"].map(str::to_owned);
    let mut rows: Vec<[String; 5]> = hosts.iter().map(|host| cells(host, now)).collect();
    if titled {
        rows.insert(0, head);
    }
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for row in rows {
        let line = row.into_iter().zip(widths).map(|(cell, width)| filled(cell, width));
        let line = line.collect::<Vec<_>>().join(&" ".repeat(GAP));
        text += &cut(line.trim_end().to_owned(), width.unwrap_or(usize::MAX));
        text.push('\n');
    }
    text
}

fn cells(host: &HostStatus, now: jiff::Timestamp) -> [String; 5] {
    let mut state = host.state.to_owned();
    if !host.flags.is_empty() {
        state = format!("{state} ({})", host.flags.join(", "));
    }
    [
        escape::line(host.host.as_bytes()),
        state,
        host.applied.clone().unwrap_or_else(|| "-".to_owned()),
        host.since.map_or_else(|| "-".to_owned(), |since| span(spent(since, now))),
        escape::line(host.why.as_deref().unwrap_or_default().as_bytes()),
    ]
}
