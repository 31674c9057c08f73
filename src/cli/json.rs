//! How `--json` shows values that may not be text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A string, or `{"base64": "…"}` if the value is not UTF-8, as everywhere else.
pub(super) fn value_json(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(value) }),
    }
}
