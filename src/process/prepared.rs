//! What a start needs and no plan changes, made while nothing waits for it: the pipes of a run's output, and the file for
//! the record of its start. One of each is kept; starts at the same time make their own.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::unistd::pipe2;
use tokio::net::unix::pipe;

use super::record;

/// A pipe that an action writes one of its outputs into.
#[derive(Debug)]
pub(super) struct Drained {
    /// Its end, which is not numbered 0, 1 or 2.
    pub(super) write: OwnedFd,
    /// Ours, registered with the runtime.
    pub(super) read: pipe::Receiver,
    /// By which an adopting daemon recognises it.
    pub(super) inode: Option<u64>,
}

impl Drained {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        let inode = fstat(&read).ok().map(|stat| stat.st_ino);
        let write = above_standard(held_open(write))?;
        Ok(Self { write, read: pipe::Receiver::from_owned_fd(read)?, inode })
    }

    /// Of standard output and standard error: one each, so that the log can tell them apart.
    fn both() -> io::Result<[Self; 2]> {
        Ok([Self::new()?, Self::new()?])
    }
}

/// What is kept for the next start.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    outputs: Mutex<Option<[Drained; 2]>>,
    record: Mutex<Option<OwnedFd>>,
}

impl Prepared {
    /// The pipes of standard output and standard error.
    pub(super) fn outputs(&self) -> io::Result<[Drained; 2]> {
        taken(&self.outputs).map_or_else(Drained::both, Ok)
    }

    /// An empty file for a record; see [`record::empty`].
    pub(super) fn record(&self) -> Option<OwnedFd> {
        taken(&self.record).or_else(record::empty)
    }

    /// Prepares the next start, and its pipes if the last one needed any. What cannot be made now is tried again, and
    /// reported, by the start that needs it.
    pub(super) fn next(&self, has_pipes: bool) {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if has_pipes && outputs.is_none() {
            *outputs = Drained::both().ok();
        }
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if record.is_none() {
            *record = record::empty();
        }
    }
}

fn taken<T>(kept: &Mutex<Option<T>>) -> Option<T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A write end that is also a read end: while the action lives, the death of the daemon does not turn its next line of
/// output into a SIGPIPE, and the daemon that adopts it can keep reading. The reader still sees the end once no process
/// holds the pipe. fifo(7): opening for reading and writing never blocks.
fn held_open(write: OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", write.as_raw_fd());
    // Without /proc it is an ordinary write end.
    OpenOptions::new().read(true).write(true).open(path).map_or(write, OwnedFd::from)
}

/// The same file under a number other than 0, 1 or 2, which the child overwrites one by one. A daemon that was started
/// with closed standard streams gets such numbers.
pub(super) fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    // try_clone never returns these three.
    if fd.as_raw_fd() > 2 { Ok(fd) } else { fd.as_fd().try_clone_to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_prepared_is_used_once() {
        let prepared = Prepared::default();
        prepared.next(true);
        let kept = |prepared: &Prepared| {
            let [out, errors] = prepared.outputs.lock().unwrap().as_ref().map(|both| {
                let [out, errors] = both;
                [out.inode, errors.inode]
            })?;
            Some((out?, errors?))
        };
        let first = kept(&prepared).unwrap();
        prepared.next(true);
        assert_eq!(kept(&prepared), Some(first), "it is kept, not made again");
        let record = prepared.record.lock().unwrap().as_ref().map(AsRawFd::as_raw_fd);
        let mut used = Vec::new();
        for _ in 0..3 {
            let [out, errors] = prepared.outputs().unwrap();
            used.push(([out.inode.unwrap(), errors.inode.unwrap()], prepared.record().unwrap(), out, errors));
        }
        assert_eq!(used[0].0, [first.0, first.1]);
        assert_eq!(Some(used[0].1.as_raw_fd()), record);
        let mut inodes: Vec<u64> = used.iter().flat_map(|(inodes, ..)| *inodes).collect();
        inodes.sort_unstable();
        inodes.dedup();
        assert_eq!(inodes.len(), 6);
    }
}
