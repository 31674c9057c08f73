//! `twitcher generate`: what a package ships and the program knows best: manual pages, completions, schemas.
//!
//! Hidden, for those who build packages.

mod commands;
mod manual;
mod schema;

use std::path::PathBuf;

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use super::Failure;

/// Write manual pages, completions and schemas below a directory, as they lie below /usr/share
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory; it is made
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    for (place, text) in files()? {
        let path = args.directory.join(place);
        path.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(())
}

/// How a shell tells the program that it asks for completions; the library's own default.
const COMPLETE: &str = "COMPLETE";

/// zsh runs the file itself as the function when it is needed first, before what it registers is.
const ZSH_FIRST: &str =
    "\nif [ \"$funcstack[1]\" = \"_twitcher\" ]; then\n    _clap_dynamic_completer_twitcher \"$@\"\nfi\n";

/// Every file by its place.
fn files() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let pages = commands::pages()
        .map_err(|error| Failure::new(format!("cannot write the manual pages of the commands: {error}")))?;
    let mut files: Vec<_> =
        pages.into_iter().map(|(name, page)| (format!("man/man1/{name}.1"), page)).collect();
    files.push(("man/man5/twitcher.conf.5".into(), manual::conf().into_bytes()));
    files.push(("man/man5/twitcher-watch.5".into(), manual::watch().into_bytes()));
    let shells: [(&dyn EnvCompleter, &str, &str); 3] = [
        (&Bash, "bash-completion/completions/twitcher", ""),
        (&Fish, "fish/vendor_completions.d/twitcher.fish", ""),
        (&Zsh, "zsh/site-functions/_twitcher", ZSH_FIRST),
    ];
    for (shell, place, more) in shells {
        let mut text = Vec::new();
        // Each asks the program itself, which knows the names of stores and keys.
        shell.write_registration(COMPLETE, "twitcher", "twitcher", "twitcher", &mut text).map_err(
            |error| Failure::new(format!("cannot write the completions of {}: {error}", shell.name())),
        )?;
        text.extend_from_slice(more.as_bytes());
        files.push((place.into(), text));
    }
    for (place, schema) in [
        ("twitcher/watch.schema.json", schema::watch()),
        ("twitcher/twitcher.conf.schema.json", schema::conf()),
    ] {
        files.push((place.into(), format!("{schema:#}\n").into_bytes()));
    }
    Ok(files)
}
