//! `twitcher put`: sets one value, from the command line, standard input or a file.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use bytes::Bytes;
use clap_complete::ArgValueCompleter;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat, stat};

use super::stores::{RawKey, StoreArgs, key, shown, unwritten};
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
    /// The value, after `--` if it begins with `-` and is not a number; `-` reads it from standard input, byte for byte
    #[arg(allow_negative_numbers = true, conflicts_with = "file")]
    value: Option<OsString>,
    /// Read the value from this file, byte for byte
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Only if the key has exactly this version now
    #[arg(long, value_name = "VERSION", conflicts_with = "if_absent")]
    if_version: Option<Version>,
    /// Only if the key does not exist
    #[arg(long)]
    if_absent: bool,
    /// Print the new version as JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    raw_key: RawKey,
    #[command(flatten)]
    store: StoreArgs,
}

/// Reads the value and writes it.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    args.raw_key.admit(&args.key, &args.store, common)?;
    let condition = match (args.if_version, args.if_absent) {
        (Some(version), _) => args.store.condition(version, common)?,
        (None, true) => Condition::Absent,
        (None, false) => Condition::Any,
    };
    let value = value(args.value, args.file)?;
    let purpose = format!("write {}", shown(&args.key));
    let opened = args.store.open_to_write(common).await.map_err(|failure| failure.to(&purpose))?;
    let version = opened.access.put(&args.key, value, condition).await;
    let version = version.map_err(|error| unwritten(error, &args.key, "written").to(&purpose))?;
    if args.json {
        let shown = serde_json::json!({ "key": args.key.as_str(), "version": version.to_string() });
        print(&format!("{shown}\n"))?;
    }
    Ok(())
}

fn value(argument: Option<OsString>, file: Option<PathBuf>) -> Result<Bytes, Failure> {
    match (argument, file) {
        (_, Some(path)) => std::fs::read(&path)
            .map(Bytes::from)
            .map_err(|error| Failure::new(format!("cannot read the value from {}: {error}", path.display()))),
        (Some(text), None) if text != "-" => Ok(text.into_vec().into()),
        (None, None) if !carries_a_value() => Err(Failure::usage(
            "a value is missing: write VALUE behind the key, or `-` to read standard input whatever that is, or \
             --file PATH",
        )),
        (Some(_) | None, None) => {
            if is_closed() {
                return Err(Failure::new(
                    "cannot read the value: standard input is closed; an empty value is written ''",
                ));
            }
            let mut value = Vec::new();
            std::io::stdin().lock().read_to_end(&mut value).map_err(|error| {
                Failure::new(format!("cannot read the value from standard input: {error}"))
            })?;
            Ok(value.into())
        }
    }
}

/// Whether the caller passed a standard input to read: a pipe, a socket or a file. The defaults of cron, systemd or a terminal
/// do not count.
fn carries_a_value() -> bool {
    let Ok(status) = fstat(std::io::stdin()) else { return false };
    let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
    kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK || kind == SFlag::S_IFREG
}

/// Whether standard input was closed when the program started: the Rust runtime replaces it by `/dev/null`, opened for
/// reading and writing, unlike `</dev/null`.
fn is_closed() -> bool {
    let (Ok(input), Ok(null)) = (fstat(std::io::stdin()), stat("/dev/null")) else { return false };
    let flags = fcntl(std::io::stdin(), FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    let both = flags.is_ok_and(|flags| flags & OFlag::O_ACCMODE == OFlag::O_RDWR);
    both && !std::io::stdin().is_terminal() && input.st_rdev == null.st_rdev && input.st_ino == null.st_ino
}
