//! The name of a permit to act, which the conductor of a fleet's group grants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A permit of a group: `EPOCH-N`. Never used twice; a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PermitId {
    /// Which takeover of the conductor's role granted it.
    pub epoch: u64,
    /// The number within the epoch.
    pub number: u64,
}

/// Text that names no permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a permit is named EPOCH-NUMBER, such as 7-12")]
pub struct InvalidPermitId;

impl fmt::Display for PermitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl FromStr for PermitId {
    type Err = InvalidPermitId;

    fn from_str(text: &str) -> Result<Self, InvalidPermitId> {
        let (epoch, number) = text.split_once('-').ok_or(InvalidPermitId)?;
        let number_of = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| plain).ok_or(InvalidPermitId)
        };
        Ok(Self { epoch: number_of(epoch)?, number: number_of(number)? })
    }
}

impl TryFrom<String> for PermitId {
    type Error = InvalidPermitId;

    fn try_from(text: String) -> Result<Self, InvalidPermitId> {
        text.parse()
    }
}

impl From<PermitId> for String {
    fn from(id: PermitId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_written_as_epoch_and_number() {
        let permit = PermitId { epoch: 7, number: 12 };
        assert_eq!((permit.to_string().as_str(), "7-12".parse()), ("7-12", Ok(permit)));
        for wrong in ["", "7", "7-", "-7", "7-1-2", "+7-1", "99999999999999999999-1"] {
            assert!(wrong.parse::<PermitId>().is_err(), "{wrong:?}");
        }
        assert!(PermitId { epoch: 2, number: 1 } > PermitId { epoch: 1, number: 9 });
    }
}
