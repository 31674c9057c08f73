//! `control`: what operators ordered. The commands write it; everybody else reads it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::serde::unsigned_duration::friendly::compact::optional;
use serde::{Deserialize, Serialize};

use super::{Record, Rest};
use crate::fleet::HostName;
use crate::fleet::terms::Share;
use crate::watch::Version;

/// All orders that stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ControlRecord {
    /// Nothing new starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Order>,
    /// The last resume; a new one has a higher number. It forgives failures and ends `stopped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Order>,
    /// This version never starts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted: Option<VersionOrder>,
    /// This version skips canary, waves and soak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<VersionOrder>,
    /// The last retry of failed hosts; a new one has a higher number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Order>,
    /// Overrides what hosts say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<OrderSet>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Record for ControlRecord {
    const LONGEST: usize = 1024;
}

/// An order, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Rises with each order of its kind, so that one is carried out once.
    pub number: u64,
    /// For these hosts only; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostName>,
    /// Who gave it.
    pub by: String,
    /// When, by that one's clock.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An order about one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionOrder {
    /// Which.
    #[serde(with = "version_text")]
    pub version: Version,
    /// Who gave it.
    pub by: String,
    /// When, by that one's clock.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSet {
    /// Permits at once, instead of what hosts say.
    pub max_parallel: Share,
    /// How long it lasts after a conductor first saw it; `None`: until `unset`.
    #[serde(default, rename = "for", with = "optional", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// Rises with each override, so that the same one given again lasts anew.
    pub number: u64,
    /// Who gave it.
    pub by: String,
    /// When, by that one's clock.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A version is stored as it is shown.
pub(super) mod version_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::watch::Version;

    pub fn serialize<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(version)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
