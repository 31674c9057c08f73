//! The record of a start: a file in memory, held open by the child alone, that names the run it is about to become. The next
//! daemon reads it (`starts`).

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::uio::pwrite;

use super::Launch;

/// Name of the file in memory.
const NAME: &CStr = c"twitcher-start";
/// The same name, as `/proc/PID/fd` shows it.
pub(super) const SHOWN: &str = "/memfd:twitcher-start (deleted)";
/// Variable with the account of the action, which is not in its environment.
pub(super) const ACCOUNT: &str = "TWITCHER_UID";
/// The variables of the action's environment that describe its run.
const DESCRIBING: [&str; 5] =
    ["TWITCHER_RUN", "TWITCHER_WATCH", "TWITCHER_STORE", "TWITCHER_KEY", "TWITCHER_VERSION"];

/// A file for a record. `None` without `memfd_create(2)` or memory: then the next daemon cannot find this start.
pub(super) fn empty() -> Option<OwnedFd> {
    let sealed = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    // Kernels before 6.3 do not know the flag; later ones may require it.
    let file = memfd_create(NAME, sealed).or_else(|_| memfd_create(NAME, MFdFlags::MFD_CLOEXEC)).ok()?;
    // Its memory is allocated now, and not while the start waits. The record overwrites this.
    pwrite(&file, b"\0", 0).ok()?;
    Some(file)
}

/// Writes the record of a start into an empty file.
pub(super) fn written(memory: OwnedFd, launch: &Launch) -> Option<OwnedFd> {
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
