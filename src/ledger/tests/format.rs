//! The journal is a format on disk: golden lines, which later versions must keep reading and writing.

use super::*;
use crate::ledger::journal::{encode_all, parse};
use crate::watch::Subtree;

/// An entry with every field set, and an empty one.
fn entries() -> BTreeMap<WatchName, LedgerEntry> {
    let mut entry = LedgerEntry {
        applied: Some(applied()),
        live: vec![live("l-1-2"), LiveRecord { mutex: Some("nginx".to_owned()), ..live("l-1-3") }],
        newest_run: Some(RunId("l-1-2".into())),
        interrupted: Some("main Tree /a".into()),
        paused: Some(Paused {
            until: Some(jiff::Timestamp::UNIX_EPOCH),
            seconds: Some(60),
            settled: Some(applied()),
        }),
        stopped: Some(fingerprint("0123456789abcdef0123456789abcdef")),
        tenure: Some("7587862094".into()),
        fleet_record: Some(FleetRecord { group: "main /twitcher/fleet/git".into(), at: 1042 }),
        granted: Some(LivePermit { id: "3-14".parse().unwrap(), state: "7/d6be327b0e9ed88a".into() }),
        reported: Some(applied()),
        owed: Some(Owed {
            state: applied(),
            outcome: "failed".into(),
            exit_code: Some(3),
            reason: Reason::Change,
            attempt: 4,
            coalesced: 1,
            output: "oops".into(),
        }),
        gave_up: Some(GaveUp {
            definition: fingerprint("0123456789abcdef0123456789abcdef"),
            state: applied(),
        }),
        ended: 2,
        failed: 1,
        succeeded: Some(jiff::Timestamp::UNIX_EPOCH),
        ..LedgerEntry::default()
    };
    entry.remember(record("l-1-1"));
    let tree = Applied { target: "main Tree /a".into(), entries: Some(12), ..applied() };
    let counted = LedgerEntry { applied: Some(tree), ..LedgerEntry::default() };
    BTreeMap::from([(name("a"), entry), (name("b"), LedgerEntry::default()), (name("c"), counted)])
}

const GOLDEN: &str = r#"{"ledger":"l"}
{"watch":{"name":"a","applied":{"target":"main Data /a","version":"7","digest":"d6be327b0e9ed88a0388091a215402a9"},"live":[{"run":"l-1-2","target":"main Data /a","definition":"d","process":{"pid":42,"start_ticks":7,"boot_id":"b","output_pipe":9,"errors_pipe":10},"started":"1970-01-01T00:00:00Z","reason":"load","version":"7","attempt":1,"coalesced":3},{"run":"l-1-3","target":"main Data /a","definition":"d","mutex":"nginx","process":{"pid":42,"start_ticks":7,"boot_id":"b","output_pipe":9,"errors_pipe":10},"started":"1970-01-01T00:00:00Z","reason":"load","version":"7","attempt":1,"coalesced":3}],"newest_run":"l-1-2","interrupted":"main Tree /a","paused":{"until":"1970-01-01T00:00:00Z","seconds":60,"settled":{"target":"main Data /a","version":"7","digest":"d6be327b0e9ed88a0388091a215402a9"}},"stopped":"0123456789abcdef0123456789abcdef","tenure":"7587862094","fleet_record":{"group":"main /twitcher/fleet/git","at":1042},"granted":{"id":"3-14","state":"7/d6be327b0e9ed88a"},"reported":{"target":"main Data /a","version":"7","digest":"d6be327b0e9ed88a0388091a215402a9"},"owed":{"state":{"target":"main Data /a","version":"7","digest":"d6be327b0e9ed88a0388091a215402a9"},"outcome":"failed","exit_code":3,"reason":"change","attempt":4,"coalesced":1,"output":"oops"},"gave_up":{"definition":"0123456789abcdef0123456789abcdef","state":{"target":"main Data /a","version":"7","digest":"d6be327b0e9ed88a0388091a215402a9"}},"ended":2,"failed":1,"succeeded":"1970-01-01T00:00:00Z"}}
{"run":{"watch":"a","record":{"run":"l-1-1","reason":"change","version":"7","attempt":1,"coalesced":1,"started":"1970-01-01T00:00:00Z","seconds":0.5,"outcome":"succeeded","exit_code":0,"signal":null,"output":"done 🦀\nline"}}}
{"watch":{"name":"b","ended":0,"failed":0}}
{"watch":{"name":"c","applied":{"target":"main Tree /a","version":"7","digest":"d6be327b0e9ed88a0388091a215402a9","entries":12},"ended":0,"failed":0}}
"#;

#[test]
fn the_format_of_the_journal_is_fixed() {
    let entries = entries();
    let written = String::from_utf8(encode_all("l", entries.iter())).unwrap();
    assert_eq!(written, GOLDEN);
    let read = parse(GOLDEN.as_bytes());
    assert_eq!((read.id.as_deref(), read.damaged), (Some("l"), 0));
    assert_eq!(read.entries, entries);
    assert!(parse(b"{\"watch\":{\"name\":\"b\"}}\n{\"forget\":\"b\"}\n").entries.is_empty());
}

/// A run of version 0.2.0 has one pipe for both streams.
#[test]
fn a_run_with_one_pipe_is_still_read() {
    let old = GOLDEN.replace(",\"errors_pipe\":10", "");
    let mut expected = entries();
    for live in expected.values_mut().flat_map(|entry| &mut entry.live) {
        live.process.errors_pipe = None;
    }
    assert_eq!(parse(old.as_bytes()).entries, expected);
    assert_eq!(String::from_utf8(encode_all("l", expected.iter())).unwrap(), old);
}

/// An entry of a version that did not record at which revision the store had the host's record.
#[test]
fn an_entry_without_the_record_of_its_fleet_is_still_read() {
    let old = GOLDEN.replace(",\"fleet_record\":{\"group\":\"main /twitcher/fleet/git\",\"at\":1042}", "");
    assert_ne!(old, GOLDEN);
    let mut expected = entries();
    for entry in expected.values_mut() {
        entry.fleet_record = None;
    }
    assert_eq!(parse(old.as_bytes()).entries, expected);
    assert_eq!(String::from_utf8(encode_all("l", expected.iter())).unwrap(), old);
}

/// An entry of a version that did not record what a watch gave up on.
#[test]
fn an_entry_without_what_it_gave_up_on_is_still_read() {
    let (start, end) = (GOLDEN.find(",\"owed\"").unwrap(), GOLDEN.find(",\"ended\"").unwrap());
    let old = [&GOLDEN[..start], &GOLDEN[end..]].concat();
    let mut expected = entries();
    for entry in expected.values_mut() {
        (entry.owed, entry.gave_up) = (None, None);
    }
    assert_eq!(parse(old.as_bytes()).entries, expected);
    assert_eq!(String::from_utf8(encode_all("l", expected.iter())).unwrap(), old);
}

#[test]
fn the_count_of_entries_is_recorded_for_children_and_trees_alone() {
    let target = |watch_type| Target {
        store: StoreName::new("main").unwrap(),
        key: crate::watch::Key::new("/a").unwrap(),
        watch_type,
    };
    let state = |content| State { seq: Seq(1), version: Version::Revision(7), content };
    let children = state(Content::Children(["a".into(), "b".into()].into()));
    assert_eq!(Applied::new(&target(WatchType::Children), &children).entries, Some(2));
    assert_eq!(Applied::new(&target(WatchType::Tree), &state(Content::Absent)).entries, Some(0));
    assert_eq!(Applied::new(&target(WatchType::Data), &state(Content::Value("x".into()))).entries, None);
}

#[test]
fn targets_have_the_words_of_version_0_1_0() {
    let target = |watch_type| Target {
        store: StoreName::new("main").unwrap(),
        key: crate::watch::Key::new("/a b").unwrap(),
        watch_type,
    };
    let words = [
        (WatchType::Data, "main Data /a b"),
        (WatchType::Children, "main Children /a b"),
        (WatchType::Tree, "main Tree /a b"),
    ];
    for (watch_type, expected) in words {
        assert_eq!(described(&target(watch_type)), expected);
    }
}

#[test]
fn reasons_and_outcomes_have_the_same_word_in_ledger_and_history() {
    let reasons =
        [Reason::Load, Reason::Change, Reason::Delete, Reason::Retry, Reason::Trigger, Reason::Recovery];
    for (reason, word) in
        reasons.into_iter().zip(["load", "change", "delete", "retry", "trigger", "recovery"])
    {
        assert_eq!((reason.word(), serde_json::to_value(reason).unwrap()), (word, word.into()));
    }
}

#[test]
fn digests_are_stable_and_tell_contents_apart() {
    let value = |text: &'static str| Content::Value(text.into());
    let children = |names: &[&str]| Content::Children(names.iter().map(|name| (*name).into()).collect());
    let tree = |nodes: &[(&str, Option<&str>)]| {
        let mut subtree = Subtree::new();
        for (path, value) in nodes {
            subtree.insert(path, value.map(str::as_bytes));
        }
        Content::Tree(subtree)
    };
    let golden = [
        (Content::Absent, "3e7077fd2f66d689e0cee6a7cf5b37bf"),
        (Content::Unread, "a536aa3cede6ea3c1f3e0357c3c60e0f"),
        (value(""), "4322fd2bc0a137d1375b37b3b2e2b471"),
        (value("x"), "d6be327b0e9ed88a0388091a215402a9"),
        (children(&[]), "e3b0c44298fc1c149afbf4c8996fb924"),
        (children(&["a", "b"]), "9e18acd2c5f000e36c3aed10402de1a0"),
        (children(&["ab"]), "d5e01aed025d93ab86479300d10eece9"),
        (tree(&[("", Some("1")), ("a", None)]), "4479977a7dd69a8884e4f45f8f4615f9"),
    ];
    for (content, expected) in golden {
        assert_eq!(digest(&content), expected);
    }
}

/// The ledger stores what these rooms write into it: entries, identities, and why a run did not start. The output of
/// Debug is not a defined format and may change with any compiler.
#[test]
fn nothing_on_disk_is_debug_output() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms = vec![source.join("ledger"), source.join("watch"), source.join("process")];
    let mut files = 0;
    while let Some(room) = rooms.pop() {
        for path in std::fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                rooms.push(path);
                continue;
            }
            let is_test =
                path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
            let text = if is_test { String::new() } else { std::fs::read_to_string(&path).unwrap() };
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(!code.contains(":?}"), "{} formats with Debug", path.display());
            files += 1;
        }
    }
    assert!(files > 20, "{files}");
}
