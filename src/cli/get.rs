//! `twitcher get`: one value, byte for byte.

use std::io::IsTerminal;

use clap_complete::ArgValueCompleter;

use super::json::value_json;
use super::stores::{RawKey, StoreArgs, failure, key, shown};
use super::{Common, Failure, complete, print, print_bytes};
use crate::watch::Key;

/// Print the value of a key, byte for byte
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  twitcher get /nginx/port\n  \
                        twitcher get /nginx/port --json | jq -r .version\n  \
                        twitcher get /certs/web > web.pem")]
pub(super) struct Args {
    /// The key
    #[arg(value_parser = key, add = ArgValueCompleter::new(complete::keys))]
    key: Key,
    /// Print JSON, for programs: the value, its version and other metadata
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    raw_key: RawKey,
    #[command(flatten)]
    store: StoreArgs,
}

/// Reads and prints.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    args.raw_key.admit(&args.key, &args.store, common)?;
    let purpose = format!("read {}", shown(&args.key));
    let opened = args.store.open(common).await.map_err(|failure| failure.to(&purpose))?;
    let read = opened.access.get(&args.key).await;
    let Some(entry) = read.map_err(|error| failure(error).to(&purpose))? else {
        return Err(opened.missing(&args.key).await);
    };
    if args.json {
        let metadata: serde_json::Map<_, _> =
            entry.metadata.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())).collect();
        let shown = serde_json::json!({
            "key": args.key.as_str(),
            "value": entry.value.as_deref().map(value_json),
            "version": entry.version.to_string(),
            "metadata": metadata,
        });
        return print(&format!("{shown}\n"));
    }
    let Some(value) = entry.value else {
        return Err(Failure::new(format!(
            "`{}` has no value, only keys below it; `twitcher ls {0}` shows them",
            shown(&args.key)
        )));
    };
    print_bytes(&value)?;
    // On a terminal the prompt must not follow in the middle of a line; a file gets exactly the value.
    if std::io::stdout().is_terminal() && !value.ends_with(b"\n") {
        print("\n")?;
    }
    Ok(())
}
