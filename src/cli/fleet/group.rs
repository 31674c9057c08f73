//! Where the keys of a group are, and reading them.

use super::super::stores::{StoreChoice, failure};
use super::super::{Common, Failure};
use crate::config::Loader;
use crate::fleet::picture::Picture;
use crate::fleet::{GroupKeys, GroupName, stored};
use crate::log::escape;
use crate::store::{Access, StoreError, StoreSpec, StoreUrl};
use crate::watch::Key;
use crate::watch::fleet::FleetSettings;
use std::time::Duration;

/// How long connecting, and then each request, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A store of fleets.
pub(super) struct FleetStore {
    pub(super) access: Access,
    pub(super) spec: StoreSpec,
    prefix: Key,
    /// `[fleet] store` is written: what is watched may be elsewhere.
    pub(super) is_apart: bool,
}

/// The store, and below which key its fleets are. Nothing is connected.
pub(super) fn whereabouts(choice: &StoreChoice, common: &Common) -> Result<(StoreSpec, Key, bool), Failure> {
    let settings = Loader::new(&common.config).reload_settings().ok();
    let fleet = settings.as_ref().map(|settings| &settings.fleet);
    let of_fleet = fleet.and_then(|fleet| fleet.store.clone());
    let prefix = match fleet {
        Some(fleet) => fleet.prefix.clone(),
        None => Key::new(FleetSettings::PREFIX).map_err(|error| Failure::new(error.to_string()))?,
    };
    let spec = match (&choice.store, &of_fleet, &settings) {
        (None, Some(name), Some(settings)) => settings.stores.get(name).cloned(),
        _ => None,
    };
    let spec = match spec {
        Some(spec) => spec,
        None => choice.spec(common)?,
    };
    if let StoreUrl::Dir { .. } = spec.url {
        return Err(Failure::new(format!(
            "store {} is a directory of this machine, a fleet of one: `twitcher status` and `twitcher wait` show it; \
             name the fleet's store with --store or in [fleet] of twitcher.conf",
            spec.name
        )));
    }
    Ok((spec, prefix, of_fleet.is_some()))
}

/// The failure of a reading.
fn unread(spec: &StoreSpec, prefix: &Key, error: StoreError) -> Failure {
    failure(error).to(&format!("read the fleet's keys below {prefix} in store {}", spec.name))
}

impl FleetStore {
    /// Connects.
    pub(super) async fn open(choice: &StoreChoice, common: &Common) -> Result<Self, Failure> {
        let (spec, prefix, is_apart) = whereabouts(choice, common)?;
        Self::connect(spec, prefix, is_apart).await
    }

    pub(super) async fn connect(spec: StoreSpec, prefix: Key, is_apart: bool) -> Result<Self, Failure> {
        let access = Access::open(&spec, PATIENCE).await.map_err(|error| unread(&spec, &prefix, error))?;
        Ok(Self { access, spec, prefix, is_apart })
    }

    /// Ends the connection, so that the server keeps no session of it.
    pub(super) async fn close(self) {
        self.access.close().await;
    }

    /// The keys of a group.
    pub(super) fn keys(&self, group: &GroupName) -> Result<GroupKeys, Failure> {
        GroupKeys::new(&self.prefix, group).ok_or_else(|| {
            Failure::new(format!(
                "no key of group {} fits behind {}: give [fleet] a shorter prefix in twitcher.conf",
                shown(group),
                self.prefix
            ))
        })
    }

    fn unread(&self, error: StoreError) -> Failure {
        unread(&self.spec, &self.prefix, error)
    }

    /// The groups that there are. What is no group's name is left out.
    pub(super) async fn groups(&self) -> Result<Vec<GroupName>, Failure> {
        let names = self.access.children(&self.prefix).await.map_err(|error| self.unread(error))?;
        let names = names.unwrap_or_default();
        Ok(names.iter().filter_map(|name| GroupName::from_key(name).ok()).collect())
    }

    /// All keys of a group; `None` where there are none.
    pub(super) async fn read(&self, group: &GroupName) -> Result<Option<Picture>, Failure> {
        let keys = self.keys(group)?;
        let listing = self.access.tree(keys.top()).await.map_err(|error| self.unread(error))?;
        let entries = stored::entries(&listing);
        Ok((!entries.is_empty()).then(|| Picture::new(group.clone(), &entries)))
    }

    /// The group of this name, or the one that watches this key. A member may read its own group, but not list all.
    pub(super) async fn find(&self, named: &str) -> Result<Option<Picture>, Failure> {
        if let Ok(name) = GroupName::new(named)
            && let Some(picture) = self.read(&name).await?
        {
            return Ok(Some(picture));
        }
        let mut found = Vec::new();
        for group in self.groups().await? {
            let Some(picture) = self.read(&group).await? else { continue };
            if picture.target().is_some_and(|(_, key)| key.as_str() == named) {
                found.push(picture);
            }
        }
        match found.as_slice() {
            [] | [_] => Ok(found.pop()),
            several => {
                let listed: Vec<String> = several.iter().map(|picture| shown(&picture.name)).collect();
                Err(Failure::usage(format!(
                    "several groups watch {}: {}; name one of them",
                    escape::line(named.as_bytes()),
                    listed.join(", ")
                )))
            }
        }
    }

    /// The same where there must be one.
    pub(super) async fn picture(&self, named: &str) -> Result<Picture, Failure> {
        match self.find(named).await? {
            Some(picture) => Ok(picture),
            None => Err(self.unknown(named).await),
        }
    }

    /// The failure of a name that no group has.
    pub(super) async fn unknown(&self, named: &str) -> Failure {
        let groups = self.groups().await.unwrap_or_default();
        let known: Vec<String> = groups.iter().take(20).map(shown).collect();
        let known = if known.is_empty() {
            "there is none".to_owned()
        } else {
            format!("known are {}", known.join(", "))
        };
        Failure::new(format!(
            "no group of a fleet is called {} or watches it, in store {} below {}: {known}",
            escape::line(named.as_bytes()),
            self.spec.name,
            self.prefix
        ))
    }
}

/// A name of a group for people: one line.
pub(super) fn shown(name: &GroupName) -> String {
    escape::line(name.to_string().as_bytes())
}
