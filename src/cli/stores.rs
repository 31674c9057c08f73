//! Which store a command means, and how it is reached: `--store`, `--timeout`, twitcher.conf.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::{Common, Failure, complete};
use crate::config::Loader;
use crate::store::access::{Access, Entry, LEFT_OUT};
use crate::store::{StoreError, StoreSpec, StoreUrl};
use crate::watch::{Key, StoreName};

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
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = super::duration)]
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
        match &self.store {
            Some(url) if url.contains("://") => of_url(url),
            name => named(name.as_deref(), common),
        }
    }
}

impl StoreArgs {
    /// Where the store is. Nothing is connected.
    pub(super) fn spec(&self, common: &Common) -> Result<StoreSpec, Failure> {
        self.choice.spec(common)
    }

    /// Connects for single requests.
    pub(super) async fn open(&self, common: &Common) -> Result<Opened, Failure> {
        let spec = self.spec(common)?;
        let access = Access::open(&spec, self.timeout).await.map_err(failure)?;
        Ok(Opened { access, spec })
    }
}

fn of_url(url: &str) -> Result<StoreSpec, Failure> {
    let url: StoreUrl =
        url.parse().map_err(|error| Failure::usage(format!("--store: this is no store's URL: {error}")))?;
    let name = StoreName::new("command-line").map_err(|error| Failure::new(error.to_string()))?;
    Ok(StoreSpec { name, url, credentials: None, tls: None, session_timeout: Duration::from_secs(10) })
}

fn named(name: Option<&str>, common: &Common) -> Result<StoreSpec, Failure> {
    let settings = Loader::new(&common.config).reload_settings().map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(format!(
            "cannot look up the store, because twitcher.conf does not hold; a URL (--store etcd://…) needs none\n{}",
            problems.join("\n")
        ))
    })?;
    let name = name.unwrap_or(settings.default_store.as_str());
    settings.stores.get(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = settings.stores.keys().map(StoreName::as_str).collect();
        let nearest = known.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
        let hint = match nearest {
            Some(near) if strsim::jaro(near, name) > 0.7 => format!("; did you mean `{near}`?"),
            Some(_) | None => String::new(),
        };
        Failure::usage(format!(
            "there is no store `{name}` in {}{hint}; known are {}, and any URL (etcd://…, zookeeper://…, dir://…)",
            common.config.join("twitcher.conf").display(),
            known.join(", ")
        ))
    })
}

impl Opened {
    /// A key and everything below it, by relative path. What cannot be shown, and so will not be touched, is said.
    pub(super) async fn entries(&self, key: &Key) -> Result<BTreeMap<String, Entry>, Failure> {
        crate::process::keep_freed_memory();
        let listing = self.access.tree(key).await.map_err(failure)?;
        if listing.left_out > 0 {
            // Standard error may be closed; nothing hangs on it.
            let _ = writeln!(
                std::io::stderr().lock(),
                "twitcher: {} of the keys at and below {key} cannot be shown, and will stay as they are: {LEFT_OUT}",
                listing.left_out
            );
        }
        Ok(listing.entries)
    }

    /// The failure of a key that is not there.
    pub(super) fn missing(&self, key: &Key) -> Failure {
        Failure::new(format!("`{key}` does not exist in {}; `twitcher ls` shows what does", self.spec.url))
    }
}

/// A store's error with what may be done about it.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn failure(error: StoreError) -> Failure {
    let help = match &error {
        StoreError::Unavailable { .. } => "; is it running, is --store right, and is --timeout long enough?",
        StoreError::Conflict { .. } => "; nothing was overwritten: read it again, and decide again",
        StoreError::Denied { .. } | StoreError::Refused { .. } | StoreError::File { .. } => "",
    };
    Failure::new(format!("{error}{help}"))
}

/// A key as it is typed.
pub(super) fn key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|error| error.to_string())
}
