//! The store of a command and its connection: `--store`, `--timeout`, twitcher.conf.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::store_name::store_spec;
use super::{Common, Failure, complete};
use crate::log::escape;
use crate::store::access::{Access, Condition, Entry, LEFT_OUT};
use crate::store::{StoreError, StoreSpec, StoreUrl};
use crate::tree::plan::KeyModel;
use crate::watch::{Key, Version};

/// The store.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StoreChoice {
    /// A store of twitcher.conf, or a URL such as `etcd://localhost:2379/prefix` [default: `default_store`]
    #[arg(long, env = "TWITCHER_STORE", value_name = "URL|NAME", add = ArgValueCandidates::new(complete::stores))]
    pub(super) store: Option<String>,
}

/// The options of every command that uses a store.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StoreArgs {
    #[command(flatten)]
    pub(super) choice: StoreChoice,
    /// Time limit for connecting, and then for each request
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = time_limit)]
    pub(super) timeout: Duration,
}

/// A connected store, and its spec for messages.
pub(super) struct Opened {
    pub(super) access: Access,
    pub(super) spec: StoreSpec,
}

impl StoreChoice {
    /// Resolves the store. Nothing is connected.
    pub(super) fn spec(&self, common: &Common) -> Result<StoreSpec, Failure> {
        store_spec(self.store.as_deref(), common)
    }
}

impl StoreArgs {
    /// Resolves the store. Nothing is connected.
    pub(super) fn spec(&self, common: &Common) -> Result<StoreSpec, Failure> {
        self.choice.spec(common)
    }

    /// Connects for single requests to a store that exists.
    pub(super) async fn open(&self, common: &Common) -> Result<Opened, Failure> {
        self.open_for(common, false).await
    }

    /// The same for writing, which creates a missing directory.
    pub(super) async fn open_to_write(&self, common: &Common) -> Result<Opened, Failure> {
        self.open_for(common, true).await
    }

    async fn open_for(&self, common: &Common, writing: bool) -> Result<Opened, Failure> {
        let spec = self.spec(common)?;
        let access = Access::open(&spec, self.timeout).await.map_err(failure)?;
        access.has_root(writing).await.map_err(failure)?;
        Ok(Opened { access, spec })
    }

    /// A condition on a version, if this kind of store can have that version.
    pub(super) fn condition(&self, version: Version, common: &Common) -> Result<Condition, Failure> {
        let url = self.spec(common)?.url;
        if version == Version::Revision(0) {
            return Err(Failure::usage(
                "--if-version 0: no key has version 0; `put --if-absent` writes a key only if it does not exist",
            ));
        }
        match url.kind().facts().admits_version(version) {
            Ok(()) => Ok(Condition::Version(version)),
            Err(why) => Err(Failure::usage(format!(
                "--if-version {version}: {why}; `twitcher get KEY --json` shows the version of a key in {url}"
            ))),
        }
    }
}

/// Keys that are left out, one line each.
const MOST_NAMED: usize = 20;

/// A subtree.
pub(super) struct Entries {
    /// By relative path.
    pub(super) entries: BTreeMap<String, Entry>,
    /// How many more there are that cannot be shown.
    pub(super) left_out: usize,
}

impl Opened {
    /// What a key of this store can hold.
    pub(super) fn model(&self) -> KeyModel {
        match &self.spec.url {
            StoreUrl::ZooKeeper { chroot, .. } => {
                KeyModel::Nodes { whole: chroot.trim_matches('/').is_empty() }
            }
            StoreUrl::Etcd { .. } => KeyModel::Values,
            StoreUrl::Dir { .. } => KeyModel::Files,
        }
    }

    /// Reads a key and everything below it. Keys that cannot be shown, and so are not touched, are reported.
    pub(super) async fn entries(&self, key: &Key) -> Result<Entries, Failure> {
        crate::process::keep_freed_memory();
        let listing = self.access.tree(key).await.map_err(failure)?;
        let (top, count) = (shown(key), listing.left_out.len());
        tell_of_left_out(
            &format!(
                "{count} of the keys at and below {top} cannot be shown, and will stay as they are: {LEFT_OUT}"
            ),
            &listing.left_out,
        );
        tell_of_left_out(
            &format!(
                "{} entries below {top} cannot be read, and will stay as they are",
                listing.unreadable.len()
            ),
            &listing.unreadable,
        );
        Ok(Entries { left_out: count + listing.unreadable.len(), entries: listing.entries })
    }

    /// The error for a missing key. In an etcd without a prefix `/foo` and `foo` are two keys, which look the same in a list of
    /// names.
    pub(super) async fn missing(&self, key: &Key) -> Failure {
        let url = &self.spec.url;
        let text = key.as_str();
        let other = text.strip_prefix('/').map_or_else(|| format!("/{text}"), ToOwned::to_owned);
        if let (StoreUrl::Etcd { prefix, .. }, Ok(other)) = (url, Key::new(&other))
            && prefix.is_empty()
            && let Ok(Some(_)) = self.access.children(&other).await
        {
            let (key, other) = (shown(key), shown(&other));
            return Failure::new(format!("`{key}` does not exist in {url}, but `{other}` does"));
        }
        Failure::new(format!("`{}` does not exist in {url}; `twitcher ls` shows what does", shown(key)))
    }
}

/// A store's error with a hint.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn failure(error: StoreError) -> Failure {
    let help = match &error {
        StoreError::Unavailable { .. } => "; is it running, is --store right, and is --timeout long enough?",
        StoreError::Conflict { .. } => "; read it again before you write",
        StoreError::Unanswered { .. }
        | StoreError::Denied { .. }
        | StoreError::Refused { .. }
        | StoreError::File { .. } => "",
    };
    Failure::new(format!("{}{help}", escape::line(error.to_string().as_bytes())))
}

/// Reports omitted keys on standard error, if there are any, and names the first ones.
pub(super) fn tell_of_left_out(heading: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    // Standard error may be closed; that does not matter.
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "twitcher: {heading}");
    for name in names.iter().take(MOST_NAMED) {
        let _ = writeln!(stderr, "  {}", escape::line(name.as_bytes()));
    }
    if let Some(more @ 1..) = names.len().checked_sub(MOST_NAMED) {
        let _ = writeln!(stderr, "  and {more} more");
    }
}

/// The error of a failed write of one key with its effect: `written`, `deleted`.
pub(super) fn unwritten(error: StoreError, key: &Key, done: &str) -> Failure {
    let left = match &error {
        StoreError::Unanswered { .. } => Some(format!(
            "whether it was {done} is not known; `twitcher get {}` shows what is there now",
            shown(key)
        )),
        StoreError::Conflict { .. } => Some(format!("nothing was {done}")),
        StoreError::Unavailable { .. }
        | StoreError::Denied { .. }
        | StoreError::Refused { .. }
        | StoreError::File { .. } => None,
    };
    let failure = failure(error);
    match left {
        Some(left) => failure.and(&left),
        None => failure,
    }
}

/// A key for people: on one line, whatever characters it has.
pub(super) fn shown(key: &Key) -> String {
    escape::line(key.as_str().as_bytes())
}

/// A time limit.
fn time_limit(text: &str) -> Result<Duration, String> {
    match super::duration(text)? {
        Duration::ZERO => {
            Err("a time limit must be above zero; write it like 250ms, 30s, 5m or 2h".to_owned())
        }
        limit => Ok(limit),
    }
}

/// The option for keys that no watch can name.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct RawKey {
    /// Take the key exactly as written, even one that no watch file can name
    #[arg(long)]
    raw_key: bool,
}

impl RawKey {
    /// Fails for a key that no watch of this store can name: a write to it would trigger nothing.
    pub(super) fn admit(self, key: &Key, store: &StoreArgs, common: &Common) -> Result<(), Failure> {
        if self.raw_key {
            return Ok(());
        }
        let spec = store.spec(common)?;
        let Some(fault) = spec.url.key_fault(key) else { return Ok(()) };
        let meant = match meant(key) {
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => String::new(),
        };
        Err(Failure::usage(format!(
            "no watch file can name the key `{}`: {fault}{meant} --raw-key takes it as it is written",
            shown(key)
        )))
    }
}

/// The key that was probably meant by one with missing or extra slashes.
fn meant(key: &Key) -> Option<String> {
    let names: Vec<&str> = key.as_str().split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    (!names.contains(&"..")).then(|| escape::line(format!("/{}", names.join("/")).as_bytes()))
}

/// A key as it is typed.
pub(super) fn key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|error| error.to_string())
}
