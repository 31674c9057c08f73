//! The record of a start: a file in memory that only the child holds, which says whose run it is to become (`starts`).

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::Launch;

/// Its name, and how `/proc/PID/fd` shows it.
const NAME: &CStr = c"twitcher-start";
pub(super) const SHOWN: &str = "/memfd:twitcher-start (deleted)";
/// The account of the action, beside the variables that describe its run.
pub(super) const ACCOUNT: &str = "TWITCHER_UID";
const DESCRIBING: [&str; 5] =
    ["TWITCHER_RUN", "TWITCHER_WATCH", "TWITCHER_STORE", "TWITCHER_KEY", "TWITCHER_VERSION"];

/// Writes the record of a start. `None` where the system has no `memfd_create(2)` or no memory: that start cannot be found.
pub(super) fn written(launch: &Launch) -> Option<OwnedFd> {
    let sealed = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    // Kernels before 6.3 do not know the flag; later ones may require it.
    let memory = memfd_create(NAME, sealed).or_else(|_| memfd_create(NAME, MFdFlags::MFD_CLOEXEC)).ok()?;
    let mut file = File::from(memory);
    let mut text = format!("{ACCOUNT}={}\0", launch.account.uid).into_bytes();
    for assignment in &launch.env {
        let assignment = assignment.to_bytes();
        let name = assignment.split(|byte| *byte == b'=').next().unwrap_or_default();
        if DESCRIBING.iter().any(|known| known.as_bytes() == name) {
            text.extend_from_slice(assignment);
            text.push(0);
        }
    }
    file.write_all(&text).ok()?;
    Some(file.into())
}
