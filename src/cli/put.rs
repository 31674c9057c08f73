//! `twitcher put`: sets one value, from the command line, standard input or a file.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use bytes::Bytes;
use clap_complete::ArgValueCompleter;

use super::stores::{StoreArgs, failure, key};
use super::{Common, Failure, complete, print};
use crate::store::access::Condition;
use crate::watch::{Key, Version};

/// Set the value of a key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  twitcher put /nginx/port 8080\n  \
                        twitcher put /certs/web - < web.pem\n  \
                        twitcher put /leader me --if-absent\n  \
                        twitcher put /nginx/port 8081 --if-version 1042")]
pub(super) struct Args {
    /// The key
    #[arg(value_parser = key, add = ArgValueCompleter::new(complete::keys))]
    key: Key,
    /// The value; `-` reads it from standard input, byte for byte
    #[arg(allow_hyphen_values = true, conflicts_with = "file")]
    value: Option<String>,
    /// Read the value from this file, byte for byte
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Only if the key has exactly this version now
    #[arg(long, value_name = "VERSION", conflicts_with = "if_absent")]
    if_version: Option<Version>,
    /// Only if the key does not exist
    #[arg(long)]
    if_absent: bool,
    /// Print the new version, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Reads the value and writes it.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let value = value(args.value, args.file)?;
    let condition = match (args.if_version, args.if_absent) {
        (Some(version), _) => Condition::Version(version),
        (None, true) => Condition::Absent,
        (None, false) => Condition::Any,
    };
    let opened = args.store.open(common).await?;
    let version = opened.access.put(&args.key, value, condition).await.map_err(failure)?;
    if args.json {
        let shown = serde_json::json!({ "key": args.key.as_str(), "version": version.to_string() });
        print(&format!("{shown}\n"))?;
    }
    Ok(())
}

fn value(argument: Option<String>, file: Option<PathBuf>) -> Result<Bytes, Failure> {
    match (argument, file) {
        (_, Some(path)) => std::fs::read(&path)
            .map(Bytes::from)
            .map_err(|error| Failure::new(format!("cannot read the value from {}: {error}", path.display()))),
        (Some(text), None) if text != "-" => Ok(text.into()),
        (None, None) if std::io::stdin().is_terminal() => Err(Failure::usage(
            "a value is missing: write it behind the key, or `-` to type it on standard input, or --file PATH",
        )),
        (Some(_) | None, None) => {
            let mut value = Vec::new();
            std::io::stdin().lock().read_to_end(&mut value).map_err(|error| {
                Failure::new(format!("cannot read the value from standard input: {error}"))
            })?;
            Ok(value.into())
        }
    }
}
