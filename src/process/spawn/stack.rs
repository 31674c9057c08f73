//! The stack that a child runs on until its exec. One that is free again is kept for the next start: to map a stack and to
//! unmap it interrupts every processor that runs a thread of the daemon.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

/// Free stacks that are kept, one for each worker thread of the daemon. More starts at once map their own.
const KEPT: usize = 2;

static FREE: Mutex<Vec<Mapping>> = Mutex::new(Vec::new());

/// A stack in use. Free again when it is dropped.
pub(super) struct Stack(Option<Mapping>);

impl Stack {
    /// A free stack, or a new one.
    pub(super) fn take() -> Result<Self, Errno> {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(Mapping::new, Ok).map(|mapping| Self(Some(mapping)))
    }

    /// The lowest address of the stack.
    pub(super) fn bottom(&self) -> *mut c_void {
        // SAFETY: the guard lies within the mapping.
        self.0.as_ref().map_or(ptr::null_mut(), |mapping| unsafe { mapping.0.byte_add(Mapping::GUARD) })
    }

    /// Its length in bytes. It begins at the end, downwards; that address is aligned to a page.
    pub(super) const LENGTH: usize = Mapping::SIZE;
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond the kept ones it is unmapped.
        if free.len() < KEPT {
            free.extend(self.0.take());
        }
    }
}

/// A stack with a guard range below it that faults. 64 KiB is a multiple of every page size of the supported machines.
struct Mapping(*mut c_void);

// SAFETY: the mapping belongs to the process, not to a thread, and only its owner refers to it.
unsafe impl Send for Mapping {}

impl Mapping {
    const GUARD: usize = 64 * 1024;
    const SIZE: usize = 256 * 1024;

    fn new() -> Result<Self, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), Self::GUARD + Self::SIZE, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let mapping = Self(base);
        // SAFETY: the range lies within the mapping that was just made and that only `mapping` refers to.
        let opened = unsafe {
            libc::mprotect(base.byte_add(Self::GUARD), Self::SIZE, libc::PROT_READ | libc::PROT_WRITE)
        };
        if opened == 0 { Ok(mapping) } else { Err(Errno::last()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing runs on it any more: the vfork child has executed another program or is
        // gone.
        unsafe { libc::munmap(self.0, Self::GUARD + Self::SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_stack_is_used_again_and_none_is_used_twice_at_once() {
        let many: Vec<Stack> = (0..8).map(|_| Stack::take().unwrap()).collect();
        let mut places: Vec<*mut c_void> = many.iter().map(Stack::bottom).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), many.len());
        drop(many);
        // Other tests start processes meanwhile, so that one of the kept ones may be in use.
        assert!(FREE.lock().unwrap().len() <= KEPT);
    }
}
