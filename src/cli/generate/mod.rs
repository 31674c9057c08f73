//! `twitcher generate`: files for packages that the program can generate: manual pages, completions, schemas.
//!
//! For those who build packages, or install without one.

mod commands;
mod fleet;
mod manual;
mod overview;
mod reference;
mod schema;

use std::path::PathBuf;

use super::{Failure, print};

pub(in crate::cli) use manual::VERSION;

/// Write manual pages, completions and schemas below a directory, laid out as in /usr/share
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Completions without a package: `twitcher generate ~/.local/share` puts them where bash (with \
                        bash-completion) and fish look; zsh needs \
                        `fpath=(~/.local/share/zsh/site-functions $fpath)` before compinit.\n\nExamples:\n  twitcher generate ~/.local/share"
)]
pub(super) struct Args {
    /// The directory; created if it is missing
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

/// The completion script of each shell. Our own, because the library's put keys on bash's line unquoted, split URLs at their
/// colons, and fail on a word that begins with a quote.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash-completion/completions/twitcher", include_str!("twitcher.bash")),
    ("fish/vendor_completions.d/twitcher.fish", include_str!("twitcher.fish")),
    ("zsh/site-functions/_twitcher", include_str!("twitcher.zsh")),
];

/// A shell.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

/// Prints what [`run`] writes for one shell.
pub(super) fn completions(args: &Completions) -> Result<(), Failure> {
    let [(_, bash), (_, fish), (_, zsh)] = COMPLETIONS;
    print(match args.shell {
        Shell::Bash => bash,
        Shell::Fish => fish,
        Shell::Zsh => zsh,
    })
}

/// Every file by its place.
fn files() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let pages = commands::pages()
        .map_err(|error| Failure::new(format!("cannot write the manual pages of the commands: {error}")))?;
    let mut files: Vec<_> =
        pages.into_iter().map(|(name, page)| (format!("man/man1/{name}.1"), page)).collect();
    files.push(("man/man5/twitcher.conf.5".into(), manual::conf().into_bytes()));
    files.push(("man/man5/twitcher-watch.5".into(), manual::watch().into_bytes()));
    files.push(("man/man7/twitcher-fleet.7".into(), fleet::page().into_bytes()));
    files.push(("man/man7/twitcher-json.7".into(), overview::json().into_bytes()));
    files.push(("man/man7/twitcher-metrics.7".into(), overview::metrics().into_bytes()));
    files.extend(COMPLETIONS.map(|(place, text)| (place.to_owned(), text.into())));
    for (place, schema) in [
        ("twitcher/watch.schema.json", schema::watch()),
        ("twitcher/twitcher.conf.schema.json", schema::conf()),
    ] {
        files.push((place.into(), format!("{schema:#}\n").into_bytes()));
    }
    Ok(files)
}
