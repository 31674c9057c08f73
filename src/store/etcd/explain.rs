//! Classifies errors of the etcd client and words them for an operator. Pure.

use etcd_client::Error;

use super::LARGEST_MESSAGE;
use crate::store::StoreError;

/// How to treat a failed request. Status codes distinguish no more than this: a broken connection shows as Unknown,
/// Cancelled or Unavailable alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The user may not do this.
    Denied,
    /// The response exceeds our limit, or the request the server's.
    TooLarge,
    /// The transaction has more operations than the server allows.
    TooMany,
    /// The requested revision is compacted or not reached yet.
    NoHistory,
    /// The lease is not known: it has expired or was revoked.
    NoLease,
    /// Any other error: the connection or the member may be broken.
    Doubt,
}

// gRPC's status codes.
const CANCELLED: i32 = 1;
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const OUT_OF_RANGE: i32 = 11;
const UNAUTHENTICATED: i32 = 16;

/// etcd's words for a login where there are no users, and for a request without a login where one is needed.
const NOT_ENABLED: &str = "authentication is not enabled";
const NO_USER: &str = "user name is empty";

pub(super) fn kind(error: &Error) -> Kind {
    let Error::GRpcStatus(status) = error else { return Kind::Doubt };
    let message = status.message();
    match i32::from(status.code()) {
        PERMISSION_DENIED | UNAUTHENTICATED => Kind::Denied,
        INVALID_ARGUMENT if says_denied(message) => Kind::Denied,
        FAILED_PRECONDITION if message.contains(NOT_ENABLED) => Kind::Denied,
        INVALID_ARGUMENT if message.contains("too large") => Kind::TooLarge,
        INVALID_ARGUMENT if message.contains("too many operations") => Kind::TooMany,
        NOT_FOUND if message.contains("lease not found") => Kind::NoLease,
        RESOURCE_EXHAUSTED if message.contains("larger than max") => Kind::TooLarge,
        OUT_OF_RANGE if message.contains("message length too large") => Kind::TooLarge,
        OUT_OF_RANGE if message.contains("revision") => Kind::NoHistory,
        _ => Kind::Doubt,
    }
}

/// Whether the login is valid and only the permission is missing.
pub(super) fn is_permission(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if i32::from(status.code()) == PERMISSION_DENIED)
}

/// Whether the server kept silent until a time limit expired: that of the connection, or that of the request, which the
/// client then cancels itself.
pub(super) fn is_silence(error: &Error) -> bool {
    if let Error::GRpcStatus(status) = error
        && matches!(i32::from(status.code()), CANCELLED | DEADLINE_EXCEEDED)
    {
        return true;
    }
    let outermost: &dyn std::error::Error = error;
    std::iter::successors(Some(outermost), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

/// Whether etcd's words, as in the reason of a cancelled watch, are about permission.
pub(super) fn says_denied(message: &str) -> bool {
    ["ermission", "auth token", "authentication failed", "user name is empty", "PermissionDenied"]
        .iter()
        .any(|words| message.contains(words))
}

pub(super) fn explain(what: impl Into<String>, error: &Error) -> StoreError {
    let (what, why) = (what.into(), deepest(error));
    match kind(error) {
        Kind::Denied if why.contains(NOT_ENABLED) => {
            let help = "this etcd has no users: take `username` and `password_file` out of the store, or turn \
                        authentication on (`etcdctl auth enable`)";
            StoreError::Denied { what, why: format!("{why}; {help}") }
        }
        Kind::Denied if why.contains(NO_USER) => {
            let help =
                "this etcd wants a user: write `username` and `password_file` into a store of twitcher.conf";
            StoreError::Denied { what, why: format!("{why}; {help}") }
        }
        Kind::Denied => StoreError::Denied { what, why },
        Kind::TooLarge => StoreError::Refused { what, why: format!("{why}; {}", limit(error)) },
        Kind::TooMany => {
            let why = format!("{why}; the server's --max-txn-ops sets the limit");
            StoreError::Refused { what, why }
        }
        Kind::NoLease => {
            StoreError::Refused { what, why: format!("{why}: the tenure is over; open another one") }
        }
        Kind::NoHistory | Kind::Doubt => StoreError::Unavailable { what, why },
    }
}

/// Which limit was exceeded, and what helps.
fn limit(error: &Error) -> String {
    let is_ours = matches!(error, Error::GRpcStatus(status) if i32::from(status.code()) == OUT_OF_RANGE);
    if is_ours {
        // Several values are read in smaller parts until each is alone.
        format!("a value of more than {} MiB cannot be read", LARGEST_MESSAGE >> 20)
    } else {
        "the server's --max-request-bytes sets the limit, 1.5 MiB by default: store less under one key, or \
         raise it"
            .to_owned()
    }
}

/// The innermost cause: the outer ones ("transport error") carry no information.
fn deepest(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = match error {
        Error::GRpcStatus(status) => {
            let plain = std::error::Error::source(status).is_none();
            if plain || status.message().starts_with("etcdserver:") {
                return status.message().to_owned();
            }
            status
        }
        Error::TransportError(error) => error,
        Error::InvalidArgs(_)
        | Error::InvalidUri(_)
        | Error::IoError(_)
        | Error::WatchError(_)
        | Error::Utf8Error(_)
        | Error::LeaseKeepAliveError(_)
        | Error::ElectError(_)
        | Error::InvalidMetadataValue(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => error,
    };
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_cancelled_watches_are_recognised() {
        for denied in [
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            "etcdserver: permission denied",
            "etcdserver: invalid auth token",
        ] {
            assert!(says_denied(denied), "{denied}");
        }
        for other in ["", "etcdserver: no leader", "mvcc: required revision has been compacted"] {
            assert!(!says_denied(other), "{other}");
        }
    }
}
