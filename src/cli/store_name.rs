//! The store that a name or a URL on the command line means.

use super::{Common, Failure};
use crate::config::Loader;
use crate::store::url::suggested;
use crate::store::{StoreSpec, StoreUrl};
use crate::watch::StoreName;

/// The store of this URL, or of this name in twitcher.conf; `None` is `default_store`. Nothing is connected.
pub(super) fn store_spec(store: Option<&str>, common: &Common) -> Result<StoreSpec, Failure> {
    match store {
        Some(url) if url.contains("://") => of_url(url),
        name => named(name, common),
    }
}

fn of_url(url: &str) -> Result<StoreSpec, Failure> {
    let url: StoreUrl =
        url.parse().map_err(|error| Failure::usage(format!("--store: not a store URL: {error}")))?;
    let name = StoreName::new("command-line").map_err(|error| Failure::new(error.to_string()))?;
    Ok(StoreSpec::new(name, url))
}

fn named(name: Option<&str>, common: &Common) -> Result<StoreSpec, Failure> {
    let settings = Loader::new(&common.config).reload_settings().map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(format!(
            "cannot look up the store, because twitcher.conf has errors; a URL (--store etcd://…) needs none\n{}",
            problems.join("\n")
        ))
    })?;
    let name = name.unwrap_or(settings.default_store.as_str());
    settings.stores.get(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = settings.stores.keys().map(StoreName::as_str).collect();
        let nearest = known.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
        let hint = match nearest {
            _ if suggested(name).is_some() => {
                format!("; did you mean `{}`?", suggested(name).unwrap_or_default())
            }
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
