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

/// bash splits words at `:` and `=` as well, which URLs and keys have: the program is asked with whole words, and what
/// stands before the last part of the one that is completed is taken off its answers. What has no blank between its
/// parts is one word.
const BASH_LAST: &str = r#"
_twitcher() {
    local rest=$COMP_LINE typed=${COMP_LINE:0:COMP_POINT} words=() count=0 current=0 i part
    for i in "${!COMP_WORDS[@]}"; do
        part=${COMP_WORDS[i]}
        if [[ $count == 0 || $rest == [[:blank:]]* ]]; then
            words[count++]=
        fi
        rest=${rest#"${rest%%[![:blank:]]*}"}
        rest=${rest#"$part"}
        words[count-1]+=$part
        if [[ $i == "$COMP_CWORD" ]]; then
            current=$((count - 1))
        fi
    done
    typed=${typed##*[[:blank:]]}
    # A quote may have kept a blank in the word.
    if [[ $typed != *"$2" ]]; then
        typed=$2
    fi
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$current before=${typed%"$2"}
    _clap_complete_twitcher "$1" "$typed" "$3"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _twitcher twitcher
else
    complete -o nospace -o bashdefault -F _twitcher twitcher
fi
"#;

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
        (&Bash, "bash-completion/completions/twitcher", BASH_LAST),
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
