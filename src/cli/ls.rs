//! `twitcher ls`: the names below a key, or every key of a subtree.

use std::fmt::Write;
use std::io::IsTerminal;

use clap_complete::ArgValueCompleter;

use super::stores::{Opened, RawKey, StoreArgs, failure, key, shown};
use super::{Common, Failure, complete, print};
use crate::log::escape;
use crate::store::access::Entry;
use crate::tree::place::{key_read, key_text};
use crate::watch::Key;

/// List the names below a key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  twitcher ls /\n  twitcher ls /nginx --tree --long")]
pub(super) struct Args {
    /// The key
    #[arg(value_parser = key, default_value = "/", add = ArgValueCompleter::new(complete::keys))]
    key: Key,
    /// The key itself and every key below it, each in full
    #[arg(short, long)]
    tree: bool,
    /// Also the version and size of each value
    #[arg(short, long)]
    long: bool,
    /// Print JSON, for programs: a name can contain line feeds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    raw_key: RawKey,
    #[command(flatten)]
    store: StoreArgs,
}

/// One listed key; a name that is only the beginning of other keys has no entry.
type Row = (String, Option<Entry>);

/// Reads and prints.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    args.raw_key.admit(&args.key, &args.store, common)?;
    let purpose = format!("list {}", shown(&args.key));
    let listed = list(&args, common).await;
    let rows = listed.map_err(|failure| failure.to(&purpose))?;
    let for_people = std::io::stdout().is_terminal();
    print(&if args.json { json(&rows, args.long) } else { text(&rows, args.long, for_people) })
}

async fn list(args: &Args, common: &Common) -> Result<Vec<Row>, Failure> {
    let opened = args.store.open(common).await?;
    let rows = match (args.tree, args.long) {
        (true, _) => whole(&args.key, &opened).await?,
        (false, true) => direct(&args.key, &opened).await?,
        (false, false) => {
            let names = opened.access.children(&args.key).await.map_err(failure)?;
            names.map(|names| names.into_iter().map(|name| (name, None)).collect())
        }
    };
    match rows {
        Some(rows) => Ok(rows),
        // An empty store has nothing at its top, which is not an error.
        None if args.key.base().is_empty() => Ok(Vec::new()),
        None => Err(opened.missing(&args.key).await),
    }
}

async fn whole(key: &Key, opened: &Opened) -> Result<Option<Vec<Row>>, Failure> {
    let entries = opened.entries(key).await?.entries;
    let row = |(path, entry): (String, Entry)| (key_text(key, &path, entry.spelling), Some(entry));
    let rows: Vec<Row> = entries.into_iter().map(row).collect();
    Ok((!rows.is_empty()).then_some(rows))
}

async fn direct(key: &Key, opened: &Opened) -> Result<Option<Vec<Row>>, Failure> {
    let Some(children) = opened.access.spelled_children(key).await.map_err(failure)? else { return Ok(None) };
    // Reads every spelling of every child together: the first that exists is shown.
    let (mut keys, mut places) = (Vec::new(), Vec::new());
    for (place, child) in children.iter().enumerate() {
        let spelled = child.spellings().filter_map(|spelling| key_read(key, &child.name, spelling).ok());
        keys.extend(spelled);
        places.resize(keys.len(), place);
    }
    let entries = opened.access.get_many(&keys).await.map_err(failure)?;
    let mut rows: Vec<Row> = children.into_iter().map(|child| (child.name, None)).collect();
    for (place, entry) in places.into_iter().zip(entries) {
        let (_, shown) = &mut rows[place];
        *shown = shown.take().or(entry);
    }
    Ok(Some(rows))
}

fn text(rows: &[Row], long: bool, for_people: bool) -> String {
    let version =
        |row: &Row| row.1.as_ref().map_or_else(|| "-".to_owned(), |entry| entry.version.to_string());
    let size = |row: &Row| {
        let value = row.1.as_ref().and_then(|entry| entry.value.as_ref());
        value.map_or_else(|| "-".to_owned(), |value| value.len().to_string())
    };
    let width = |shown: &dyn Fn(&Row) -> String| rows.iter().map(|row| shown(row).len()).max().unwrap_or(0);
    let (versions, sizes) = if long { (width(&version), width(&size)) } else { (0, 0) };
    let mut text = String::new();
    for row in rows {
        if long {
            // Writing to a string cannot fail.
            let _ = write!(text, "{:>versions$}  {:>sizes$}  ", version(row), size(row));
        }
        // On a terminal a name stays on one line, whatever characters it has; a program gets the raw name.
        if for_people {
            text.push_str(&escape::line(row.0.as_bytes()));
        } else {
            text.push_str(&row.0);
        }
        text.push('\n');
    }
    text
}

fn json(rows: &[Row], long: bool) -> String {
    let rows = rows.iter().map(|(name, entry)| match (long, entry) {
        (false, _) => name.as_str().into(),
        (true, entry) => serde_json::json!({
            "name": name,
            "version": entry.as_ref().map(|entry| entry.version.to_string()),
            "size": entry.as_ref().and_then(|entry| entry.value.as_ref()).map(bytes::Bytes::len),
        }),
    });
    format!("{}\n", serde_json::Value::Array(rows.collect()))
}
