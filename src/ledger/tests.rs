//! The ledger against crashes, damage, full and read-only disks.

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);
use crate::watch::{Content, ProcessIdentity, Reason, Seq, State, StoreName, Target, Version, WatchType};

fn fingerprint(text: &str) -> Fingerprint {
    serde_json::from_value(text.into()).unwrap()
}

pub(super) fn open(directory: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(directory, &random_id(), |_| Holder::Unknown)
}

pub(super) fn name(text: &str) -> WatchName {
    WatchName::new(text).unwrap()
}

pub(super) fn record(run: &str) -> RunRecord {
    RunRecord {
        run: RunId(run.into()),
        reason: Reason::Change,
        version: "7".into(),
        attempt: 1,
        coalesced: 1,
        started: jiff::Timestamp::UNIX_EPOCH,
        seconds: 0.5,
        outcome: "succeeded".into(),
        exit_code: Some(0),
        signal: None,
        output: "done \u{1F980}\nline".into(),
    }
}

fn live(run: &str) -> LiveRecord {
    LiveRecord {
        run: RunId(run.into()),
        target: "main Data /a".into(),
        definition: fingerprint("d"),
        mutex: None,
        process: ProcessIdentity {
            pid: 42,
            start_ticks: 7,
            boot_id: "b".into(),
            output_pipe: Some(9),
            errors_pipe: Some(10),
        },
        started: jiff::Timestamp::UNIX_EPOCH,
        reason: Reason::Load,
        version: "7".into(),
        attempt: 1,
        coalesced: 3,
        permit: None,
    }
}

fn applied() -> Applied {
    let target = Target {
        store: StoreName::new("main").unwrap(),
        key: crate::watch::Key::new("/a").unwrap(),
        watch_type: WatchType::Data,
    };
    let content = Content::Value("x".into());
    Applied::new(&target, &State { seq: Seq(1), version: Version::Revision(7), content })
}

#[test]
fn records_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let (a, b) = (name("a"), name("b"));
    ledger.started(&a, live("r1"));
    ledger.ended(&a, record("r1"), true);
    ledger.applied(&a, applied());
    ledger.started(&b, live("r2"));
    ledger.pause(&b, Some(Paused { until: None, seconds: None, settled: Some(applied()) }));
    ledger.stop(&a, Some(fingerprint("print")));
    let before = (ledger.id().to_owned(), ledger.entry("a"), ledger.entry("b"));
    drop(ledger);
    let again = open(dir.path()).unwrap();
    assert_eq!(before, (again.id().to_owned(), again.entry("a"), again.entry("b")));
    assert_eq!(again.live_runs(), [(b.clone(), live("r2"))]);
    again.interrupted(&b, &RunId("r2".into()), "main Data /a");
    assert!(again.live_runs().is_empty());
    again.forget(|name| name.as_str() == "a", jiff::Timestamp::UNIX_EPOCH);
    drop(again);
    let third = open(dir.path()).unwrap();
    assert_eq!(third.entry("b"), None);
    assert_eq!(third.entry("a").unwrap().history.len(), 1);
}

#[test]
fn a_second_daemon_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("another twitcher daemon uses the state directory"), "{error}");
    drop(first);
    open(dir.path()).unwrap();
}

/// An action that a killed daemon was just starting holds the lock slightly longer than the daemon.
#[test]
fn a_start_waits_for_a_lock_that_briefly_outlives_its_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let (opened_out, opened) = std::sync::mpsc::channel();
    let path = dir.path().to_owned();
    let second = std::thread::spawn(move || {
        opened_out.send(()).unwrap();
        open(&path).unwrap();
    });
    opened.recv().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(first);
    second.join().unwrap();
}

/// A kill -9 may leave any prefix of the journal: each one must be readable and keep the records of its whole lines.
#[test]
fn every_prefix_of_a_journal_is_readable() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    for run in 0..3 {
        ledger.started(&name("a"), live(&format!("r{run}")));
        let _written = ledger.flush(PATIENCE);
        ledger.ended(&name("a"), record(&format!("r{run}")), true);
        ledger.applied(&name("a"), applied());
        let _written = ledger.flush(PATIENCE);
    }
    drop(ledger);
    let whole = std::fs::read(dir.path().join("ledger")).unwrap();
    for length in 0..=whole.len() {
        let contents = journal::parse(&whole[..length]);
        assert!(contents.damaged <= 1, "{length}");
    }
    let contents = journal::parse(&whole);
    assert_eq!((contents.damaged, contents.entries["a"].ended), (0, 3));
}

#[test]
fn damage_costs_only_the_damaged_lines() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    ledger.ended(&name("a"), record("r1"), true);
    ledger.applied(&name("a"), applied());
    ledger.ended(&name("b"), record("r2"), false);
    let id = ledger.id().to_owned();
    drop(ledger);
    let path = dir.path().join("ledger");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"\0\0\0\xff garbage\n{\"watch\":{\"name\":\"c\"");
    std::fs::write(&path, bytes).unwrap();
    let again = open(dir.path()).unwrap();
    assert_eq!(again.id(), id);
    assert!(again.entry("a").unwrap().applied.is_some());
    assert_eq!(again.entry("b").unwrap().failed, 1);
}

#[test]
fn a_journal_does_not_grow_with_the_number_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    for run in 0..5_000 {
        ledger.started(&name("a"), live(&format!("r{run}")));
        ledger.ended(&name("a"), record(&format!("r{run}")), true);
        ledger.applied(&name("a"), applied());
    }
    let _written = ledger.flush(PATIENCE);
    assert_eq!(ledger.entry("a").unwrap().history.len(), entry::HISTORY);
    let length = std::fs::metadata(dir.path().join("ledger")).unwrap().len();
    assert!(length < 600 << 10, "{length}");
}

#[test]
fn a_removed_ledger_is_written_again_or_reported() {
    let place = tempfile::tempdir().unwrap();
    let (state, away) = (place.path().join("state"), place.path().join("away"));
    let ledger = open(&state).unwrap();
    ledger.ended(&name("a"), record("r1"), true);
    ledger.flush(PATIENCE).unwrap();
    std::fs::remove_file(state.join("ledger")).unwrap();
    ledger.applied(&name("a"), applied());
    ledger.flush(PATIENCE).unwrap();
    let written = journal::read(&state.join("ledger")).unwrap();
    assert!(written.entries["a"].applied.is_some() && written.entries["a"].ended == 1);
    std::fs::rename(&state, &away).unwrap();
    std::fs::remove_file(away.join("ledger")).unwrap();
    ledger.ended(&name("a"), record("r2"), true);
    assert!(ledger.flush(PATIENCE).is_err());
    assert!(ledger.complaint().unwrap().contains("No such file"));
}

/// A disk that hangs, such as an NFS server that went away; here a pipe that nobody reads.
#[test]
fn a_hanging_disk_blocks_neither_a_flush_nor_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&dir.path().join("ledger.new"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ledger = open(dir.path()).unwrap();
    ledger.applied(&name("a"), applied());
    ledger.pause(&name("b"), None);
    assert!(ledger.wait_until_written(Duration::from_millis(1)).is_err());
    let unwritten = ledger.flush(Duration::from_millis(100)).unwrap_err().to_string();
    assert!(unwritten.contains("2 watches (a, b)"), "{unwritten}");
    drop(ledger);
    // Releases the thread.
    std::fs::read(dir.path().join("ledger.new")).unwrap();
}

/// On a failing disk, changes of earlier failed attempts count as unwritten too.
#[test]
fn a_flush_reports_unwritten_changes_after_any_number_of_failed_attempts() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    ledger.flush(PATIENCE).unwrap();
    std::fs::remove_file(dir.path().join("ledger")).unwrap();
    let in_the_way = dir.path().join("ledger.new");
    std::fs::create_dir(&in_the_way).unwrap();
    ledger.applied(&name("a"), applied());
    let deadline = std::time::Instant::now() + PATIENCE;
    let unwritten = || ledger.wait_until_written(PATIENCE).unwrap_err().to_string();
    let mut last = unwritten();
    ledger.pause(&name("b"), None);
    while !last.contains("failed attempts: 3") {
        assert!(std::time::Instant::now() < deadline, "{last}");
        last = unwritten();
        assert!(last.contains("2 watches (a, b)"), "{last}");
        std::thread::yield_now();
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    while let Err(unwritten) = ledger.wait_until_written(PATIENCE) {
        assert!(std::time::Instant::now() < deadline, "{unwritten}");
        std::thread::yield_now();
    }
    drop(ledger);
    let entries = journal::read(&dir.path().join("ledger")).unwrap().entries;
    assert!(entries["a"].applied.is_some() && entries.contains_key("b"));
}

/// A disk that is really full: a small tmpfs. Needs root, as the daemon's other tests do.
#[test]
fn a_full_disk_is_reported_and_survived() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root may mount the small file system that the test fills");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some("size=64k"))
        .expect("mount a tmpfs");
    let ledger = open(dir.path()).unwrap();
    ledger.ended(&name("a"), record("r1"), true);
    ledger.applied(&name("a"), applied());
    let _written = ledger.flush(PATIENCE);
    assert_eq!(ledger.complaint(), None);
    let filler = dir.path().join("filler");
    let _ = std::fs::write(&filler, vec![1; 128 << 10]);
    let mut runs = 1;
    while ledger.complaint().is_none() && runs < 1000 {
        ledger.ended(&name("a"), record(&format!("r{runs}")), true);
        ledger.applied(&name("a"), applied());
        let _written = ledger.flush(PATIENCE);
        runs += 1;
    }
    let complaint = ledger.complaint().expect("the full disk was not noticed");
    assert!(complaint.contains("No space left"), "{complaint}");
    assert_eq!(ledger.entry("a").unwrap().ended, runs);
    std::fs::remove_file(filler).unwrap();
    let patience = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while ledger.complaint().is_some() {
        assert!(std::time::Instant::now() < patience, "the ledger was not written again");
        std::thread::yield_now();
    }
    drop(ledger);
    assert_eq!(journal::read(&dir.path().join("ledger")).unwrap().entries["a"].ended, runs);
    // Detached: a child that another test starts at this moment holds the ledger's file open until its exec.
    umount2(dir.path(), MntFlags::MNT_DETACH).unwrap();
}

mod format;

/// An id of version 0.1.0 that cannot be part of an environment is replaced; all records stay.
#[test]
fn an_invalid_id_is_replaced_and_the_records_are_kept() {
    for id in ["a\0b".to_owned(), "x".repeat(2 << 20), String::new(), "../..".to_owned(), "a b".to_owned()] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open(dir.path()).unwrap();
        ledger.applied(&name("a"), applied());
        ledger.flush(PATIENCE).unwrap();
        let old = ledger.id().to_owned();
        drop(ledger);
        let path = dir.path().join("ledger");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen(&old, serde_json::to_string(&id).unwrap().trim_matches('"'), 1))
            .unwrap();
        let ledger = open(dir.path()).unwrap();
        assert_eq!(ledger.id(), old, "it is beside the journal too");
        assert!(ledger.entry("a").unwrap().applied.is_some());
    }
}

/// Otherwise a daemon whose ledger was lost would start a second run beside one that still lives.
#[test]
fn a_lost_ledger_gets_the_same_id_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap().id().to_owned();
    std::fs::remove_file(dir.path().join("ledger")).unwrap();
    assert_eq!(open(dir.path()).unwrap().id(), first);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(other.path()).unwrap().id(), first);
}
