//! Keys that vanish with their writer: `alive/HOST`, `conductor`, `twins/HOST/NONCE`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Record, Rest};
use crate::fleet::{HostName, TenureId};

/// One start of one daemon, as `LEDGER/BOOT/INODE/NONCE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance {
    /// The id of its ledger.
    pub ledger: String,
    /// The kernel's boot id.
    pub boot: String,
    /// Device and inode of the ledger: a copied disk carries the ledger's id.
    pub inode: String,
    /// Drawn at this start.
    pub nonce: String,
}

impl Instance {
    /// Whether both are starts of one daemon on one machine since its last boot.
    pub fn is_same_daemon(&self, other: &Self) -> bool {
        (&self.ledger, &self.boot, &self.inode) == (&other.ledger, &other.boot, &other.inode)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.ledger, self.boot, self.inode, self.nonce)
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> Self {
        instance.to_string()
    }
}

impl TryFrom<String> for Instance {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let parts: Vec<&str> = text.split('/').collect();
        let [ledger, boot, inode, nonce] = parts[..] else {
            return Err("an instance is LEDGER/BOOT/INODE/NONCE");
        };
        let [ledger, boot, inode, nonce] = [ledger, boot, inode, nonce].map(str::to_owned);
        Ok(Self { ledger, boot, inode, nonce })
    }
}

/// `alive/HOST`: the host's daemon has a tenure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Which start.
    pub inst: Instance,
    /// Under which tenure: a restarted daemon that remembers it may end it.
    pub tenure: TenureId,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Record for Alive {
    const LONGEST: usize = 1024;
}

/// `conductor`: who conducts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConductorRecord {
    /// Its host.
    pub host: HostName,
    /// Which start of its daemon.
    pub inst: Instance,
    /// Since when, by its own clock.
    pub since: Timestamp,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Record for ConductorRecord {
    const LONGEST: usize = 1024;
}

/// `twins/HOST/NONCE`: a daemon whose host name is another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// Which start.
    pub inst: Instance,
    /// Its machine, for people.
    pub machine: String,
    /// Since when, by its own clock.
    pub since: Timestamp,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Record for Twin {
    const LONGEST: usize = 1024;
}
