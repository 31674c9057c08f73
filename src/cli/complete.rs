//! What the shell is offered on Tab where only the machine knows: names of watches, stores and keys.
//!
//! Errors are silent and every request has a short time limit, because this runs at a prompt.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::ColorChoice;
use clap_complete::CompletionCandidate;

use super::Common;
use super::store_name::store_spec;
use crate::config::accounts::AnyAccounts;
use crate::config::{Loader, Trust, hostname};
use crate::fleet::{GroupKeys, GroupName, HostName};
use crate::store::{Access, StoreSpec};
use crate::tree::place::key_text;
use crate::watch::Key;
use crate::watch::fleet::FleetSettings;

/// How long a store may take to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The stores of twitcher.conf.
pub(super) fn stores() -> Vec<CompletionCandidate> {
    let settings = line().common.settings();
    let names = settings.map(|settings| settings.stores.keys().map(ToString::to_string).collect::<Vec<_>>());
    names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// The watches of the watch files: whoever can read these need not be able to ask the daemon.
pub(super) fn watches() -> Vec<CompletionCandidate> {
    let mut loader = Loader::with(&line().common.config, Trust::Anyone, Box::new(AnyAccounts), hostname());
    let watches = loader.reload().watches;
    watches.keys().map(ToString::to_string).map(CompletionCandidate::new).collect()
}

/// The keys that begin with what was typed: those directly below its last slash.
pub(super) fn keys(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let Line { common, store } = line();
    let Ok(spec) = store_spec(store.as_deref(), &common) else { return Vec::new() };
    let above = typed.rfind('/').map_or("", |slash| &typed[..=slash]);
    let Ok(above_key) = Key::new(if above.is_empty() { "/" } else { above }) else { return Vec::new() };
    let names = async {
        let access = Access::open(&spec, PATIENCE).await.ok()?;
        let children = access.spelled_children(&above_key).await.ok()??;
        let mut candidates = Vec::new();
        for child in children {
            for spelling in child.spellings() {
                let key = key_text(&above_key, &child.name, spelling);
                candidates.extend(Some(key).filter(|key| key.starts_with(typed) && passes(key)));
            }
        }
        // A single candidate that has children is completed further with the next Tab.
        if let [alone] = candidates.as_slice()
            && let Ok(key) = Key::new(alone)
            && let Ok(Some(below)) = access.children(&key).await
            && !below.is_empty()
        {
            candidates.push(format!("{alone}/"));
        }
        Some(candidates)
    };
    asked(names)
}

/// The groups of the fleet's store.
pub(super) fn groups() -> Vec<CompletionCandidate> {
    let Some((access, prefix)) = fleet() else { return Vec::new() };
    asked(async {
        let names = Access::open(&access, PATIENCE).await.ok()?.children(&prefix).await.ok()??;
        let groups = names.iter().filter_map(|name| GroupName::from_key(name).ok());
        Some(groups.map(|group| group.to_string()).filter(|name| passes(name)).collect())
    })
}

/// The hosts of the group that was typed before.
pub(super) fn fleet_hosts() -> Vec<CompletionCandidate> {
    let Some((access, prefix)) = fleet() else { return Vec::new() };
    let Some(keys) = group_of(&words()).and_then(|group| GroupKeys::new(&prefix, &group)) else {
        return Vec::new();
    };
    asked(async {
        let names = Access::open(&access, PATIENCE).await.ok()?.children(&keys.at("hosts")).await.ok()??;
        let hosts = names.iter().filter_map(|name| HostName::from_key(name).ok());
        Some(hosts.map(|host| host.to_string()).filter(|name| passes(name)).collect())
    })
}

/// Where the fleet's keys are.
fn fleet() -> Option<(StoreSpec, Key)> {
    let Line { common, store } = line();
    let settings = common.settings().ok();
    let of_fleet = settings.as_ref().and_then(|settings| settings.fleet.store.as_ref());
    let prefix = match &settings {
        Some(settings) => settings.fleet.prefix.clone(),
        None => Key::new(FleetSettings::PREFIX).ok()?,
    };
    let named = store.or_else(|| of_fleet.map(ToString::to_string));
    Some((store_spec(named.as_deref(), &common).ok()?, prefix))
}

/// The group of a line such as `twitcher fleet retry git `.
fn group_of(words: &[OsString]) -> Option<GroupName> {
    const WITH_VALUE: [&str; 7] =
        ["-c", "--config", "--color", "--store", "--timeout", "--reason", "--silent"];
    let mut words = words.iter().filter_map(|word| word.to_str()).skip_while(|word| *word != "fleet").skip(2);
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return GroupName::new(word).ok();
        }
    }
    None
}

/// What a store answers in time.
fn asked(names: impl Future<Output = Option<Vec<String>>>) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let names = runtime.block_on(async { tokio::time::timeout(PATIENCE, names).await.ok().flatten() });
    runtime.shutdown_background();
    names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// Whether a key survives the shell's separator between candidates.
fn passes(key: &str) -> bool {
    let separator = std::env::var("_CLAP_IFS");
    !key.contains(separator.as_deref().unwrap_or("\n"))
}

/// The store options of the line that is being typed.
struct Line {
    common: Common,
    store: Option<String>,
}

/// The completion protocol passes the words of the line after `--`.
fn words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

fn line() -> Line {
    let words = words();
    Line {
        common: Common {
            config: option(&words, &["-c", "--config"])
                .or_else(|| std::env::var_os(super::CONFIG))
                .map_or_else(|| PathBuf::from("/etc/twitcher"), PathBuf::from),
            color: ColorChoice::Auto,
        },
        store: option(&words, &["--store"])
            .and_then(|store| store.into_string().ok())
            .or_else(|| std::env::var("TWITCHER_STORE").ok()),
    }
}

/// The value of an option, as `--name VALUE` or `--name=VALUE`, before the command of `watch`.
fn option(words: &[OsString], names: &[&str]) -> Option<OsString> {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        for name in names {
            if word == name {
                return words.next().cloned();
            }
            let value = word.to_str().and_then(|word| word.strip_prefix(name)?.strip_prefix('='));
            if let Some(value) = value {
                return Some(value.into());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_the_first_word_that_is_no_option() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, expected) in [
            ("twitcher fleet retry git web", Some("git")),
            ("twitcher -c /x fleet forget --store main git --force ", Some("git")),
            ("twitcher fleet retry", None),
            ("twitcher fleet retry --reason git", None),
        ] {
            assert_eq!(group_of(&words(line)), expected.map(|name| GroupName::new(name).unwrap()), "{line}");
        }
    }

    #[test]
    fn options_are_found_however_they_are_written() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, expected) in [
            ("twitcher get --store etcd://a /k", Some("etcd://a")),
            ("twitcher get --store=etcd://a /k", Some("etcd://a")),
            ("twitcher get /k --store", None),
            ("twitcher get /k", None),
            ("twitcher watch /k -- x --store zk", None),
        ] {
            assert_eq!(option(&words(line), &["--store"]), expected.map(OsString::from), "{line}");
        }
        assert_eq!(option(&words("t -c /x"), &["-c", "--config"]), Some("/x".into()));
    }
}
