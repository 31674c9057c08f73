//! `twitcher del`: deletes a key, or a whole subtree after asking.

use std::io::{BufRead, IsTerminal, Write};

use clap_complete::ArgValueCompleter;

use super::progress::Work;
use super::stores::{Opened, StoreArgs, failure, key};
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
    #[command(flatten)]
    store: StoreArgs,
}

/// Deletes.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    if args.tree && !args.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask on; add --yes to delete without being asked",
        ));
    }
    let opened = args.store.open(common).await?;
    if args.tree {
        return delete_tree(&args.key, args.yes, &opened).await;
    }
    let condition = args.if_version.map_or(Condition::Any, Condition::Version);
    if opened.access.delete(&args.key, condition).await.map_err(failure)? {
        Ok(())
    } else {
        Err(opened.missing(&args.key).await)
    }
}

async fn delete_tree(key: &Key, yes: bool, opened: &Opened) -> Result<(), Failure> {
    let present = opened.entries(key).await?;
    if present.is_empty() {
        return Err(opened.missing(key).await);
    }
    let nothing = std::collections::BTreeMap::new();
    let plan = plan(key, &nothing, &present, Mode::Replace, opened.ground())
        .map_err(|error| Failure::new(format!("cannot delete {error}")))?;
    let count = plan.steps.len();
    if !yes && !confirmed(&format!("delete {count} keys at and below {key} in {}? [y/N] ", opened.spec.url))?
    {
        return Err(Failure::new("nothing was deleted"));
    }
    let changes: Vec<_> = plan.steps.iter().map(Step::change).collect();
    let work = Work { done: "deleted", rest: "`twitcher ls --tree` shows what is left" };
    work.apply(&opened.access, &changes).await?;
    print(&format!("deleted {count} key{}\n", if count == 1 { "" } else { "s" }))
}

fn confirmed(question: &str) -> Result<bool, Failure> {
    let unasked = |error: std::io::Error| Failure::new(format!("cannot ask on the terminal: {error}"));
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(unasked)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(unasked)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
