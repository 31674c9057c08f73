//! Messages of any bytes between a command and the daemon, for fuzzing.

use super::{Answer, Request, unknown_watch};
use crate::watch::WatchName;

/// A message that is understood says the same when it is sent again.
pub(crate) fn messages(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        let sent = serde_json::to_vec(&request).expect("a request is sent");
        let again: Request = serde_json::from_slice(&sent).expect("a request that was sent is understood");
        assert_eq!(sent, serde_json::to_vec(&again).expect("it is sent again"));
    }
    if let Ok(answer) = serde_json::from_slice::<Answer>(bytes) {
        assert!(serde_json::to_vec(&answer).is_ok());
    }
    let text = String::from_utf8_lossy(bytes);
    let known: Vec<WatchName> =
        ["git", "web-servers"].into_iter().filter_map(|name| WatchName::new(name).ok()).collect();
    let short: String = text.chars().take(200).collect();
    assert!(!unknown_watch(&short, known.iter()).is_empty());
}
