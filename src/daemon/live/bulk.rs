//! Runs work on large states where it delays no other watch.

use crate::process;
use crate::watch::Content;

/// Rendering or hashing this much takes a fraction of a millisecond.
const LARGE_BYTES: usize = 64 << 10;
/// The same limit for states with many parts.
const LARGE_PARTS: usize = 512;

/// Runs a closure on a state: here if it is short, otherwise off the runtime's workers, on which thousands of watches
/// live.
pub(super) fn with<T>(content: &Content, work: impl FnOnce() -> T) -> T {
    if is_large(content) { process::blocking(work) } else { work() }
}

fn is_large(content: &Content) -> bool {
    match content {
        Content::Absent | Content::Unread => false,
        Content::Value(value) => value.len() > LARGE_BYTES,
        Content::Children(names) => names.len() > LARGE_PARTS,
        Content::Tree(tree) => {
            tree.len() > LARGE_PARTS
                || tree.iter().filter_map(|(_, value)| value).map(<[u8]>::len).sum::<usize>() > LARGE_BYTES
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::watch::Subtree;

    #[test]
    fn many_or_long_parts_are_large() {
        let tree = |parts: usize, bytes: usize| {
            let mut tree = Subtree::new();
            for part in 0..parts {
                tree.insert(&part.to_string(), Some(&vec![b'x'; bytes]));
            }
            Content::Tree(tree)
        };
        for large in [tree(513, 0), tree(2, 40 << 10), Content::Value(vec![0; 65 << 10].into())] {
            assert!(is_large(&large));
        }
        for small in [tree(512, 1), tree(1, 60 << 10), Content::Absent, Content::Value("x".into())] {
            assert!(!is_large(&small));
        }
    }

    /// With a single worker: the closure waits for another task, which only another thread can run.
    #[test]
    fn other_tasks_go_on_meanwhile() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (go_on, gone_on) = mpsc::channel();
        let waited = runtime.spawn(async move {
            tokio::spawn(async move { go_on.send(()) });
            let large = Content::Value(vec![0; LARGE_BYTES + 1].into());
            with(&large, || gone_on.recv_timeout(Duration::from_mins(1)))
        });
        runtime.block_on(waited).unwrap().unwrap();
    }
}
