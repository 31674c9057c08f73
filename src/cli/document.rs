//! `twitcher dump` and `twitcher load`: a subtree to a document and back.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use clap_complete::ArgValueCompleter;

use super::del::confirmed;
use super::progress::Work;
use super::stores::{Entries, StoreArgs, key, shown, tell_of_left_out};
use super::{Common, Failure, complete, print};
use crate::tree::document::{self, Arrays, Syntax};
use crate::tree::place::{key_read, quoted};
use crate::tree::plan::{Mode, Plan, Step, plan};
use crate::watch::Key;

/// Write a subtree as a YAML, JSON or TOML document
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The segments of a key become nested objects. The value of a key with children is stored under \"\", and a value \
                        that is not UTF-8 as {\"base64\": \"…\"}. `twitcher load` reads the document back. ZooKeeper's own nodes \
                        below /zookeeper are left out unless KEY is there, and `load --replace` never deletes them.\n\n\
                        Examples:\n  twitcher dump /nginx > nginx.yaml\n  \
                        twitcher dump / --store etcd://old:2379 | twitcher load - --store zookeeper://new:2181"
)]
pub(super) struct Dump {
    /// The key at the top of the subtree
    #[arg(value_parser = key, add = ArgValueCompleter::new(complete::keys))]
    key: Key,
    /// The document's language
    #[arg(short, long, value_enum, default_value_t = Language::Yaml)]
    format: Language,
    /// Exit 0 even if keys had to be left out
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Load a YAML, JSON or TOML document into a store
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A key is written only if it has not changed since it was read; otherwise `load` reports a \
                        conflict and overwrites nothing. etcd applies up to 128 changes in one transaction and \
                        ZooKeeper up to 500, fewer if their values are large. A directory store applies one after \
                        the other.\n\n\
                        Examples:\n  twitcher load nginx.yaml --at /nginx --dry-run\n  \
                        twitcher load nginx.yaml --at /nginx --replace"
)]
pub(super) struct Load {
    /// The document; `-` is standard input
    file: PathBuf,
    /// The key where the top of the document goes
    #[arg(long, value_name = "KEY", value_parser = key, default_value = "/", add = ArgValueCompleter::new(complete::keys))]
    at: Key,
    /// Delete keys that the document lacks
    #[arg(long)]
    replace: bool,
    /// Do not ask before a single value replaces a tree
    #[arg(short, long, requires = "replace")]
    yes: bool,
    /// Only print what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How to treat arrays: refuse them, or write keys 0, 1, 2…
    #[arg(long, value_enum, default_value_t = ArraysWord::Refuse)]
    arrays: ArraysWord,
    /// The document's language [default: by the file's name, YAML for standard input]
    #[arg(short, long, value_enum)]
    format: Option<Language>,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Yaml,
    Json,
    Toml,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ArraysWord {
    Refuse,
    Index,
}

impl Language {
    fn syntax(self) -> Syntax {
        match self {
            Self::Yaml => Syntax::Yaml,
            Self::Json => Syntax::Json,
            Self::Toml => Syntax::Toml,
        }
    }
}

/// `twitcher dump`.
pub(super) async fn dump(args: Dump, common: &Common) -> Result<(), Failure> {
    let opened = args.store.open(common).await?;
    let Entries { mut entries, mut left_out } = opened.entries(&args.key).await?;
    let model = opened.model();
    let (mut nameless, whole) = (Vec::new(), model.owns(&args.key));
    entries.retain(|path, entry| {
        if let Ok(key) = key_read(&args.key, path, entry.spelling) {
            return whole || !model.owns(&key);
        }
        nameless.push(quoted(path));
        false
    });
    let top = shown(&args.key);
    let heading = format!("{} of the keys below {top} are too long to be loaded again", nameless.len());
    tell_of_left_out(&heading, &nameless);
    left_out += nameless.len();
    if entries.is_empty() && left_out == 0 && !args.key.base().is_empty() {
        return Err(opened.missing(&args.key).await);
    }
    let entries = entries.iter().map(|(path, entry)| (path.as_str(), entry.value.as_deref()));
    print(&document::write(entries, args.format.syntax()))?;
    if left_out > 0 && !args.partial {
        return Err(Failure::new(format!(
            "the document lacks {left_out} of the keys at and below {top}; --partial accepts that"
        )));
    }
    Ok(())
}

/// `twitcher load`.
pub(super) async fn load(args: Load, common: &Common) -> Result<(), Failure> {
    let document = read(&args)?;
    let opened = args.store.open_to_write(common).await?;
    let present = opened.entries(&args.at).await?.entries;
    let mode = if args.replace { Mode::Replace } else { Mode::Merge };
    let plan = plan(&args.at, &document, &present, mode, opened.model())
        .map_err(|error| refused(&args.file, &error))?;
    if args.dry_run {
        let mut lines: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        lines.push(summary(&plan, "would be"));
        return print(&format!("{}\n", lines.join("\n")));
    }
    if args.replace && !args.yes && is_one_value(&document) {
        ask(&args, &plan)?;
    }
    let changes: Vec<_> = plan.steps.iter().map(Step::change).collect();
    let work = Work { done: "loaded", rest: "`--dry-run` shows what is left" };
    work.apply(&opened.access, &changes).await?;
    print(&format!("{}\n", summary(&plan, "were"))).map_err(|failure| failure.and("all changes were made"))
}

/// Whether a document is one bare value, as a page of text that was taken for YAML is.
fn is_one_value(document: &BTreeMap<String, Option<Bytes>>) -> bool {
    document.keys().all(String::is_empty)
}

/// Asks before one value takes the place of a tree.
fn ask(args: &Load, plan: &Plan) -> Result<(), Failure> {
    let deleted = plan.steps.iter().filter(|step| step.after.is_none()).count();
    if deleted == 0 {
        return Ok(());
    }
    let top = shown(&args.at);
    let what =
        format!("the document is one value and no tree: {deleted} keys at and below {top} would be deleted");
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{what}; there is no terminal to ask on, add --yes if that is meant"
        )));
    }
    if confirmed(&format!("{what}; go on? [y/N] "))? {
        Ok(())
    } else {
        Err(Failure::new("nothing was changed"))
    }
}

fn read(args: &Load) -> Result<BTreeMap<String, Option<Bytes>>, Failure> {
    let standard_input = args.file == Path::new("-");
    let language = match args.format {
        Some(language) => language,
        None if standard_input => Language::Yaml,
        None => language_of(&args.file)?,
    };
    let text = if standard_input {
        if std::io::stdin().is_terminal() {
            return Err(Failure::usage("nothing is piped into standard input; name a file instead of `-`"));
        }
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(&args.file)
    };
    let text = text.map_err(|error| Failure::new(format!("cannot read {}: {error}", name(&args.file))))?;
    let arrays = match args.arrays {
        ArraysWord::Refuse => Arrays::Refuse,
        ArraysWord::Index => Arrays::Index,
    };
    document::parse(&text, language.syntax(), arrays).map_err(|error| refused(&args.file, &error))
}

fn refused(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot load {}: {error}; nothing was changed", name(file)))
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn language_of(file: &Path) -> Result<Language, Failure> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Ok(Language::Yaml),
        Some("json") => Ok(Language::Json),
        Some("toml") => Ok(Language::Toml),
        Some(_) | None => Err(Failure::usage(format!(
            "the name {} does not say whether it is YAML, JSON or TOML; add --format",
            file.display()
        ))),
    }
}

fn summary(plan: &Plan, tense: &str) -> String {
    let count = |wanted: fn(bool, bool) -> bool| {
        plan.steps.iter().filter(|step| wanted(step.before.is_some(), step.after.is_some())).count()
    };
    let bare = match plan.bare {
        0 => String::new(),
        bare => format!("; {bare} without a value, which this store does not keep by themselves"),
    };
    format!(
        "{} key(s) {tense} added, {} changed, {} deleted, {} the same{bare}",
        count(|before, after| !before && after),
        count(|before, after| before && after),
        count(|_, after| !after),
        plan.equal,
    )
}
