//! A watch for the unit tests of all rooms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// A watch of root with only the required fields.
pub(crate) fn minimal() -> WatchSpec {
    WatchSpec {
        name: WatchName::new("git").unwrap(),
        description: String::new(),
        enabled: true,
        target: Target {
            store: StoreName::new("main").unwrap(),
            key: Key::new("/git/head").unwrap(),
            watch_type: WatchType::Data,
        },
        action: Action::Shell("true".into()),
        surroundings: Arc::new(Surroundings {
            account: Account {
                uid: 0,
                gid: 0,
                groups: None,
                user: "root".into(),
                home: "/root".into(),
                shell: "/bin/sh".into(),
            },
            cwd: Surroundings::CWD.into(),
            umask: Surroundings::UMASK,
            inherit_env: false,
            env: BTreeMap::new(),
            nice: None,
            limits: BTreeMap::new(),
        }),
        pipe_stdin: true,
        format: Format::Raw,
        output: Output::Log,
        verify_interval: VERIFY_INTERVAL,
        splay: Duration::ZERO,
        mutex: None,
        fleet: None,
        validate: None,
        on_give_up: None,
        machine: Arc::default(),
        policy: Arc::default(),
    }
}
