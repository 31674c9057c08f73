//! `twitcher convert`: prints the watch file for an old Python configuration.

use std::path::PathBuf;

use super::{Failure, print};

/// Turn a configuration of the Python Twitcher into a watch file
///
/// Prints TOML. What cannot be translated, such as a lambda with code, is left in it as a commented block with the
/// reason and the original lines.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The old configuration
    #[arg(value_name = "FILE.twc")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let converted = crate::convert::run(&args.file).map_err(|error| Failure::new(error.to_string()))?;
    print(&converted.toml)?;
    if converted.left > 0 {
        use std::io::Write;
        // The output is complete without this line.
        let _ = writeln!(
            std::io::stderr().lock(),
            "twitcher: {} converted from {}; {} left for you, look for \"Not converted\"",
            crate::status::counted(converted.translated, "watch", "watches"),
            args.file.display(),
            converted.left
        );
    }
    Ok(())
}
