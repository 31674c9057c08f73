//! Which store a command means, and how it is reached: `--store`, `--timeout`, twitcher.conf.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::store_name::store_spec;
use super::{Common, Failure, complete};
use crate::log::escape;
use crate::store::access::{Access, Condition, Entry, LEFT_OUT};
use crate::store::{StoreError, StoreSpec, StoreUrl};
use crate::tree::plan::Ground;
use crate::watch::{Key, Version};

/// Which store is meant.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StoreChoice {
    /// A store of twitcher.conf, or a URL such as `etcd://localhost:2379/prefix` [default: `default_store`]
    #[arg(long, env = "TWITCHER_STORE", value_name = "URL|NAME", add = ArgValueCandidates::new(complete::stores))]
    pub(super) store: Option<String>,
}

/// What every command that asks a store something accepts.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StoreArgs {
    #[command(flatten)]
    pub(super) choice: StoreChoice,
    /// How long connecting, and then each request, may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = time_limit)]
    pub(super) timeout: Duration,
}

/// A connected store, and what to say of it.
pub(super) struct Opened {
    pub(super) access: Access,
    pub(super) spec: StoreSpec,
}

impl StoreChoice {
    /// Where the store is. Nothing is connected.
    pub(super) fn spec(&self, common: &Common) -> Result<StoreSpec, Failure> {
        store_spec(self.store.as_deref(), common)
    }
}

impl StoreArgs {
    /// Where the store is. Nothing is connected.
    pub(super) fn spec(&self, common: &Common) -> Result<StoreSpec, Failure> {
        self.choice.spec(common)
    }

    /// Connects for single requests, to a store that is there.
    pub(super) async fn open(&self, common: &Common) -> Result<Opened, Failure> {
        self.open_for(common, false).await
    }

    /// The same to write, which makes a directory that is missing.
    pub(super) async fn open_to_write(&self, common: &Common) -> Result<Opened, Failure> {
        self.open_for(common, true).await
    }

    async fn open_for(&self, common: &Common, writing: bool) -> Result<Opened, Failure> {
        let spec = self.spec(common)?;
        let access = Access::open(&spec, self.timeout).await.map_err(failure)?;
        access.has_root(writing).await.map_err(failure)?;
        Ok(Opened { access, spec })
    }

    /// A condition on a version, if it can be one of this kind of store.
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
                "--if-version {version}: {why}; `twitcher get KEY --json` tells the version of a key in {url}"
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
    /// How many more there are, which cannot be shown.
    pub(super) left_out: usize,
}

impl Opened {
    /// What a place of this store can hold.
    pub(super) fn ground(&self) -> Ground {
        match &self.spec.url {
            StoreUrl::ZooKeeper { chroot, .. } => {
                Ground::Nodes { whole: chroot.trim_matches('/').is_empty() }
            }
            StoreUrl::Etcd { .. } => Ground::Values,
            StoreUrl::Dir { .. } => Ground::Files,
        }
    }

    /// A key and everything below it. What cannot be shown, and so will not be touched, is said.
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

    /// The failure of a key that is not there. In an etcd without a prefix `/foo` and `foo` are two keys, which look
    /// like one in a list of names.
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

/// A store's error with what may be done about it.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn failure(error: StoreError) -> Failure {
    let help = match &error {
        StoreError::Unavailable { .. } => "; is it running, is --store right, and is --timeout long enough?",
        StoreError::Conflict { .. } => "; read it again, and decide again",
        StoreError::Unanswered { .. }
        | StoreError::Denied { .. }
        | StoreError::Refused { .. }
        | StoreError::File { .. } => "",
    };
    Failure::new(format!("{}{help}", escape::line(error.to_string().as_bytes())))
}

/// Says on standard error what is left out, if anything is, and names the first of it.
pub(super) fn tell_of_left_out(heading: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    // Standard error may be closed; nothing hangs on it.
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "twitcher: {heading}");
    for name in names.iter().take(MOST_NAMED) {
        let _ = writeln!(stderr, "  {}", escape::line(name.as_bytes()));
    }
    if let Some(more @ 1..) = names.len().checked_sub(MOST_NAMED) {
        let _ = writeln!(stderr, "  and {more} more");
    }
}

/// A failed write of one key, with what it leaves: `written`, `deleted`.
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

/// A key for people: one line, whatever characters it has.
pub(super) fn shown(key: &Key) -> String {
    escape::line(key.as_str().as_bytes())
}

/// A time that something may take.
fn time_limit(text: &str) -> Result<Duration, String> {
    match super::duration(text)? {
        Duration::ZERO => {
            Err("within no time nothing is answered; write it like 250ms, 30s, 5m or 2h".to_owned())
        }
        limit => Ok(limit),
    }
}

/// The switch for keys that no watch can name.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct RawKey {
    /// Take the key as it is written, also one that no watch file can name
    #[arg(long)]
    raw_key: bool,
}

impl RawKey {
    /// Fails for a key that a watch of this store cannot name: whoever writes it is not heard.
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

/// The key that was meant by one that is spelled with slashes too few or too many.
fn meant(key: &Key) -> Option<String> {
    let names: Vec<&str> = key.as_str().split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    (!names.contains(&"..")).then(|| escape::line(format!("/{}", names.join("/")).as_bytes()))
}

/// A key as it is typed.
pub(super) fn key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|error| error.to_string())
}
