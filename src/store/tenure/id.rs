//! The id of a tenure.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The store's id of a tenure: etcd's lease id, ZooKeeper's session id; hexadecimal as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenureId(pub(in crate::store) i64);

impl TenureId {
    /// The single member of a directory.
    pub(super) const OF_DIRECTORY: Self = Self(0);
}

impl fmt::Display for TenureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for TenureId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(|id| Self(id.cast_signed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_parsed_from_its_text() {
        for id in [0, 1, 0x694d_7e1b_b0a4_1d0f, i64::MAX, i64::MIN, -1] {
            assert_eq!(TenureId(id).to_string().parse(), Ok(TenureId(id)));
        }
        assert_eq!(TenureId(0x694d).to_string(), "694d");
        assert!("".parse::<TenureId>().is_err());
        assert!("xyz".parse::<TenureId>().is_err());
    }
}
