//! The keys of a group, below `PREFIX/GROUP/`.

use std::fmt;

use super::{GroupName, HostName};
use crate::watch::Key;

/// The keys of one group in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupKeys {
    top: Key,
}

impl GroupKeys {
    /// Those of a group below a prefix that does not end with a slash. `None`: the prefix is too long for any key.
    pub fn new(prefix: &Key, group: &GroupName) -> Option<Self> {
        Key::new(&format!("{}/{}", prefix.base(), group.as_key())).ok().map(|top| Self { top })
    }

    /// The key above all of them.
    pub fn top(&self) -> &Key {
        &self.top
    }

    /// A key of the group.
    pub fn of(&self, key: &GroupKey) -> Key {
        self.at(&key.to_string())
    }

    /// The key of a path below the group's.
    pub fn at(&self, path: &str) -> Key {
        // The configuration refuses a prefix that leaves no room for the longest path.
        Key::new(&format!("{}/{path}", self.top)).unwrap_or_else(|_| self.top.clone())
    }
}

/// A key of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKey {
    /// What a host says of itself; written by it.
    Host(HostName),
    /// There while the host's tenure is; written by it.
    Alive(HostName),
    /// The permit that a host holds; written by the conductor.
    Permit(HostName),
    /// A daemon that was refused the host's name, by its nonce; written by it, under its tenure.
    Twin(HostName, String),
    /// The rollout; written by the conductor. Its revision is the fence.
    Rollout,
    /// Counts; written by the conductor.
    Summary,
    /// Who conducts; written by it, under its tenure.
    Conductor,
    /// Orders; written by operators.
    Control,
}

impl GroupKey {
    /// The first segment of its path.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Host(_) => "hosts",
            Self::Alive(_) => "alive",
            Self::Permit(_) => "permits",
            Self::Twin(..) => "twins",
            Self::Rollout => "rollout",
            Self::Summary => "summary",
            Self::Conductor => "conductor",
            Self::Control => "control",
        }
    }

    /// Takes the part of a key after `PREFIX/GROUP/`. `None`: not a key of ours.
    pub fn parse(relative: &str) -> Option<Self> {
        let host = |text: &str| HostName::from_key(text).ok();
        match relative.split_once('/') {
            None => match relative {
                "rollout" => Some(Self::Rollout),
                "summary" => Some(Self::Summary),
                "conductor" => Some(Self::Conductor),
                "control" => Some(Self::Control),
                _ => None,
            },
            Some(("hosts", name)) => host(name).map(Self::Host),
            Some(("alive", name)) => host(name).map(Self::Alive),
            Some(("permits", name)) => host(name).map(Self::Permit),
            Some(("twins", twin)) => {
                let (name, nonce) = twin.split_once('/')?;
                let plain = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
                host(name).filter(|_| plain).map(|host| Self::Twin(host, nonce.to_owned()))
            }
            Some(_) => None,
        }
    }
}

/// The part of the key after `PREFIX/GROUP/`.
impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "hosts/{}", host.as_key()),
            Self::Alive(host) => write!(f, "alive/{}", host.as_key()),
            Self::Permit(host) => write!(f, "permits/{}", host.as_key()),
            Self::Twin(host, nonce) => write!(f, "twins/{}/{nonce}", host.as_key()),
            Self::Rollout => f.write_str("rollout"),
            Self::Summary => f.write_str("summary"),
            Self::Conductor => f.write_str("conductor"),
            Self::Control => f.write_str("control"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_contract() {
        let host = || HostName::new("a b").unwrap();
        for (key, text) in [
            (GroupKey::Host(host()), "hosts/a%20b"),
            (GroupKey::Alive(host()), "alive/a%20b"),
            (GroupKey::Permit(host()), "permits/a%20b"),
            (GroupKey::Twin(host(), "0f".to_owned()), "twins/a%20b/0f"),
            (GroupKey::Rollout, "rollout"),
            (GroupKey::Summary, "summary"),
            (GroupKey::Conductor, "conductor"),
            (GroupKey::Control, "control"),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(GroupKey::parse(text), Some(key));
        }
        for foreign in
            ["", "hosts", "hosts/", "hosts/a/b", "hosts/a b", "twins/a", "twins/a/", "twins/a/b/c", "x/y"]
        {
            assert_eq!(GroupKey::parse(foreign), None, "{foreign:?}");
        }
    }
}
