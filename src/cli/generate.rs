//! `twitcher generate`: what a package ships and the program knows best: manual pages and completions.
//!
//! Hidden, for those who build packages.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure};

/// Write manual pages and completions below a directory, as they lie below /usr/share
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory; it is made
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let root = &args.directory;
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::new(format!("cannot write {path}: {error}"))
    };
    let pages = root.join("man/man1");
    std::fs::create_dir_all(&pages).map_err(failed(&pages))?;
    clap_mangen::generate_to(Cli::command(), &pages).map_err(failed(&pages))?;
    for (shell, place) in [
        (Shell::Bash, "bash-completion/completions/twitcher"),
        (Shell::Fish, "fish/vendor_completions.d/twitcher.fish"),
        (Shell::Zsh, "zsh/site-functions/_twitcher"),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "twitcher", &mut text);
        let path = root.join(place);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}
