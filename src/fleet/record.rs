//! Values of the fleet's keys: JSON with `"format": 1`. Unknown fields are kept, a higher format is recognised.

mod host;
mod order;
mod rollout;
mod summary;
mod tenure;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use host::{BehindWhy, HostRecord, HostState, Last, LastOutcome, Permit};
pub use order::{ControlRecord, Order, OrderSet, VersionOrder};
pub use rollout::{
    CarriedOut, FailureKind, HostFailure, NAMED, PastResult, PastRollout, REMEMBERED, Rollout, RolloutState,
};
pub use summary::{Counts, SILENT_NAMED, Summary};
pub use tenure::{Alive, ConductorRecord, Instance, Twin};

/// The format that is written.
const FORMAT: u64 = 1;

/// Fields of a record that this version does not know, as they were read.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Rest(pub Map<String, Value>);

/// Numbers of JSON have no total equality in general; those that were read from text are never NaN.
impl Eq for Rest {}

/// What a value is, where it is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than any that we write.
    #[error("it has {0} bytes, and at most {1} are read")]
    TooLong(usize, usize),
    /// A later version of twitcher wrote it.
    #[error("it is of format {0}, and this version of twitcher knows format 1: update twitcher")]
    Later(u64),
    /// Anything else.
    #[error("{0}")]
    Garbage(String),
}

/// A value would be longer than readers accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record takes {0} bytes, and readers accept {1}")]
pub struct TooLong(pub usize, pub usize);

/// A record that is stored as JSON.
pub trait Record: Serialize + DeserializeOwned {
    /// Longest value that is written and read, in bytes.
    const LONGEST: usize = 4096;

    /// Drops the least important part, where a record can do without. Returns whether there was one.
    fn shorten(&mut self) -> bool {
        false
    }

    /// The value of the key. Shortened first where it would be too long; fails where that does not help.
    fn encode(&self) -> Result<Vec<u8>, TooLong>
    where
        Self: Clone,
    {
        let mut record = std::borrow::Cow::Borrowed(self);
        loop {
            let text = serde_json::to_vec(&Envelope { format: FORMAT, record: &*record }).unwrap_or_default();
            if !text.is_empty() && text.len() <= Self::LONGEST {
                return Ok(text);
            }
            if !record.to_mut().shorten() {
                return Err(TooLong(text.len(), Self::LONGEST));
            }
        }
    }

    /// Reads the value of a key.
    fn decode(value: &[u8]) -> Result<Self, Unreadable> {
        if value.len() > Self::LONGEST {
            return Err(Unreadable::TooLong(value.len(), Self::LONGEST));
        }
        let garbage = |error: serde_json::Error| Unreadable::Garbage(error.to_string());
        let mut fields: Map<String, Value> = serde_json::from_slice(value).map_err(garbage)?;
        match fields.remove("format").as_ref().and_then(Value::as_u64) {
            Some(FORMAT) => serde_json::from_value(Value::Object(fields)).map_err(garbage),
            Some(later) if later > FORMAT => Err(Unreadable::Later(later)),
            Some(_) | None => Err(Unreadable::Garbage("it has no `format` that was ever written".to_owned())),
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    format: u64,
    #[serde(flatten)]
    record: &'a T,
}
