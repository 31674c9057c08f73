//! Why a host that asks for a permit has none: read from its group's keys at that moment, as any reader does.

use std::time::Duration;

use tokio::time::timeout;

use super::read;
use crate::fleet::picture::Picture;
use crate::fleet::{GroupKeys, GroupName, HostName};
use crate::log::escape;
use crate::store::{Store, StoreError};

/// Longest wait for the store. The command waits longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sentence for `twitcher explain`.
pub(in crate::daemon) async fn why_no_permit(
    store: &Store,
    keys: &GroupKeys,
    group: &GroupName,
    host: &str,
) -> String {
    let why = match timeout(PATIENCE, read::group(store, keys)).await {
        Ok(Ok(entries)) => {
            let picture = Picture::new(group.clone(), &entries);
            HostName::new(host).map(|host| picture.explain(&host, jiff::Timestamp::now())).unwrap_or_default()
        }
        Ok(Err(error @ StoreError::Denied { .. })) => error.to_string(),
        Ok(Err(_)) | Err(_) => {
            format!("store {} is away: nothing starts without a permit", store.spec().name)
        }
    };
    escape::line(format!("it waits for its permit: {why}.").as_bytes())
}
