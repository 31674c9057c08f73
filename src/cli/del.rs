//! `twitcher del`: deletes a key, or a whole subtree after asking.

use std::io::{BufRead, IsTerminal, Write};

use clap_complete::ArgValueCompleter;

use super::progress::Work;
use super::stores::{Opened, RawKey, StoreArgs, key, shown, unwritten};
use super::{Common, Failure, complete, print};
use crate::store::access::Condition;
use crate::tree::plan::{Mode, Step, plan};
use crate::watch::{Key, Version};

/// Delete a key, or with --tree everything below it too
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  twitcher del /nginx/port\n  twitcher del /nginx --tree --yes")]
pub(super) struct Args {
    /// The key
    #[arg(value_parser = key, add = ArgValueCompleter::new(complete::keys))]
    key: Key,
    /// Also everything below it; asks first
    #[arg(long)]
    tree: bool,
    /// Do not ask
    #[arg(short, long, requires = "tree")]
    yes: bool,
    /// Only if the key has exactly this version now
    #[arg(long, value_name = "VERSION", conflicts_with = "tree")]
    if_version: Option<Version>,
    /// Print the number of deleted keys as JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    raw_key: RawKey,
    #[command(flatten)]
    store: StoreArgs,
}

/// Deletes.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    args.raw_key.admit(&args.key, &args.store, common)?;
    if args.tree && !args.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on; add --yes to delete without asking"));
    }
    let purpose = format!("delete {}", shown(&args.key));
    let condition = match args.if_version {
        Some(version) => args.store.condition(version, common)?,
        None => Condition::Any,
    };
    let opened = args.store.open(common).await.map_err(|failure| failure.to(&purpose))?;
    if args.tree {
        return delete_tree(&args, &opened).await;
    }
    let deleted = opened.access.delete(&args.key, condition).await;
    if !deleted.map_err(|error| unwritten(error, &args.key, "deleted").to(&purpose))? {
        return Err(opened.missing(&args.key).await);
    }
    if args.json { print(&in_json(1)) } else { Ok(()) }
}

/// How many were deleted, for programs.
fn in_json(count: usize) -> String {
    format!("{}\n", serde_json::json!({ "deleted": count }))
}

async fn delete_tree(Args { key, yes, json, .. }: &Args, opened: &Opened) -> Result<(), Failure> {
    let present = opened.entries(key).await?.entries;
    if present.is_empty() {
        return Err(opened.missing(key).await);
    }
    let nothing = std::collections::BTreeMap::new();
    let plan = plan(key, &nothing, &present, Mode::Replace, opened.model())
        .map_err(|error| Failure::new(format!("cannot delete {error}")))?;
    let count = plan.steps.len();
    let question =
        || format!("delete {count} keys at and below {} in {}? [y/N] ", shown(key), opened.spec.url);
    if !yes && !confirmed(&question())? {
        return Err(Failure::new("nothing was deleted"));
    }
    let changes: Vec<_> = plan.steps.iter().map(Step::change).collect();
    let work = Work { done: "deleted", rest: "`twitcher ls --tree` shows what is left" };
    work.apply(&opened.access, &changes).await?;
    if *json {
        return print(&in_json(count));
    }
    print(&format!("deleted {count} key{}\n", if count == 1 { "" } else { "s" }))
}

/// Asks on the terminal.
pub(super) fn confirmed(question: &str) -> Result<bool, Failure> {
    let unasked = |error: std::io::Error| Failure::new(format!("cannot ask on the terminal: {error}"));
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(unasked)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(unasked)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
