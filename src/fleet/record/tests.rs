//! Golden tests: what is stored is written out here, and stays readable.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::fleet::glob::HostGlobs;
use crate::fleet::terms::{Field, InForce, MaxParallel, Share, StopOnFailures, Terms};
use crate::fleet::{HostName, PermitId, Revision, StateId, TenureId};
use crate::watch::Version;

fn at() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn inst() -> Instance {
    Instance::try_from("l1/b2/8:3/0f".to_owned()).unwrap()
}

fn state(version: i64) -> StateId {
    StateId { version: Version::Revision(version), digest: 0xab }
}

fn permit(epoch: u64, number: u64) -> PermitId {
    PermitId { epoch, number }
}

/// The record is stored as exactly this text, and read back from it.
fn golden<T: Record + Clone + PartialEq + std::fmt::Debug>(record: &T, text: &str) {
    assert_eq!(String::from_utf8(record.encode().unwrap()).unwrap(), text);
    assert_eq!(T::decode(text.as_bytes()).as_ref(), Ok(record));
}

fn terms() -> Terms {
    Terms {
        max_parallel: MaxParallel::Share(Share::Percent(10)),
        canary: HostGlobs(vec!["web-c*".to_owned()]),
        waves: vec![Share::Count(1), Share::Percent(10)],
        soak: Duration::from_mins(5),
        hold: Duration::ZERO,
        deadline: Duration::from_mins(10),
        stop_on_failures: StopOnFailures::Share(Share::Count(3)),
    }
}

fn host_record() -> HostRecord {
    HostRecord {
        inst: inst(),
        machine: "m1".to_owned(),
        state: HostState::Retrying,
        why: None,
        seen: Some(state(2)),
        applied: Some(state(1)),
        permit: Some(permit(7, 12)),
        back: Some(permit(7, 3)),
        swap: false,
        since: at(),
        limit: Duration::from_secs(145),
        attempt: 2,
        failures: 1,
        last: Some(Last { outcome: LastOutcome::Failed, exit_code: Some(1) }),
        terms: terms().into(),
        target: "data /git/head".into(),
        rest: Rest::default(),
    }
}

const TERMS: &str = r#"{"max_parallel":"10%","canary":["web-c*"],"waves":[1,"10%"],"soak":"5m","hold":"0s","deadline":"10m","stop_on_failures":3}"#;

#[test]
fn hosts() {
    let text = format!(
        r#"{{"format":1,"inst":"l1/b2/8:3/0f","machine":"m1","state":"retrying","seen":"2/00000000000000ab","applied":"1/00000000000000ab","permit":"7-12","back":"7-3","since":"2027-01-15T08:00:00Z","limit":"2m 25s","attempt":2,"failures":1,"last":{{"outcome":"failed","exit_code":1}},"terms":{TERMS},"target":"data /git/head"}}"#
    );
    golden(&host_record(), &text);
    let paused = HostRecord {
        state: HostState::Behind,
        why: Some(BehindWhy::Held),
        swap: true,
        last: None,
        seen: None,
        applied: None,
        permit: None,
        back: None,
        ..host_record()
    };
    let text = format!(
        r#"{{"format":1,"inst":"l1/b2/8:3/0f","machine":"m1","state":"behind","why":"held","seen":null,"applied":null,"permit":null,"back":null,"swap":true,"since":"2027-01-15T08:00:00Z","limit":"2m 25s","attempt":2,"failures":1,"last":null,"terms":{TERMS},"target":"data /git/head"}}"#
    );
    golden(&paused, &text);
}

#[test]
fn permits() {
    let mut record = Permit {
        id: permit(7, 12),
        state: state(2),
        control: Some(Revision(40)),
        retry: false,
        hold: None,
        deadline: None,
        rest: Rest::default(),
    };
    golden(&record, r#"{"format":1,"id":"7-12","state":"2/00000000000000ab","control":40}"#);
    record.control = None;
    record.retry = true;
    record.hold = Some(Duration::from_secs(30));
    record.deadline = Some(Duration::from_mins(10));
    golden(
        &record,
        r#"{"format":1,"id":"7-12","state":"2/00000000000000ab","control":null,"retry":true,"hold":"30s","deadline":"10m"}"#,
    );
}

#[test]
fn alive_conductor_and_twins() {
    let rest = Rest::default;
    golden(
        &Alive { inst: inst(), tenure: TenureId(77), rest: rest() },
        r#"{"format":1,"inst":"l1/b2/8:3/0f","tenure":77}"#,
    );
    golden(
        &ConductorRecord { host: host("a b"), inst: inst(), since: at(), rest: rest() },
        r#"{"format":1,"host":"a%20b","inst":"l1/b2/8:3/0f","since":"2027-01-15T08:00:00Z"}"#,
    );
    golden(
        &Twin { inst: inst(), machine: "m1".to_owned(), since: at(), rest: rest() },
        r#"{"format":1,"inst":"l1/b2/8:3/0f","machine":"m1","since":"2027-01-15T08:00:00Z"}"#,
    );
}

#[test]
fn rollout() {
    let first = r#"{"format":1,"epoch":0,"id":null,"state":"idle","wave":0,"of":0,"base":0,"terms":null,"target":null,"started":null,"since":null,"failures":[],"more_lost":0,"resumed":{"number":0,"before":null},"retried":{"number":0,"before":null},"past":[]}"#;
    golden(&Rollout::default(), first);
    let record = Rollout {
        epoch: 7,
        id: Some(state(2)),
        state: RolloutState::Soaking,
        wave: 2,
        of: 3,
        base: 1000,
        terms: Some(InForce {
            terms: terms(),
            whose: vec![(Field::MaxParallel, host("web-31"))],
            rest: Rest::default(),
        }),
        target: Some("data /git/head".into()),
        started: Some(at()),
        since: Some(at()),
        failures: vec![HostFailure {
            host: host("web-9"),
            outcome: FailureKind::Lost,
            exit_code: None,
            attempt: 1,
            at: at(),
        }],
        more_lost: 1,
        resumed: CarriedOut { number: 1, before: Some(permit(6, 2)) },
        retried: CarriedOut { number: 2, before: None },
        past: vec![PastRollout {
            version: Version::Revision(1),
            result: PastResult::Superseded,
            converged: 5,
            seconds: 660,
        }],
        rest: Rest::default(),
    };
    let text = format!(
        r#"{{"format":1,"epoch":7,"id":"2/00000000000000ab","state":"soaking","wave":2,"of":3,"base":1000,"terms":{{"terms":{TERMS},"whose":[["max_parallel","web-31"]]}},"target":"data /git/head","started":"2027-01-15T08:00:00Z","since":"2027-01-15T08:00:00Z","failures":[{{"host":"web-9","outcome":"lost","exit_code":null,"attempt":1,"at":"2027-01-15T08:00:00Z"}}],"more_lost":1,"resumed":{{"number":1,"before":"6-2"}},"retried":{{"number":2,"before":null}},"past":[{{"version":"1","result":"superseded","converged":5,"seconds":660}}]}}"#
    );
    golden(&record, &text);
}

#[test]
fn summary() {
    let record = Summary {
        id: Some(state(2)),
        hosts: Counts { members: 3, converged: 1, acting: 1, behind: 1, silent: 1, ..Counts::default() },
        held: 1,
        limit: Some(2),
        silent: [(host("web-90"), at())].into(),
        disagree: 1,
        why: Some("no canary is alive".to_owned()),
        beat: 9,
        rest: Rest::default(),
    };
    golden(
        &record,
        r#"{"format":1,"id":"2/00000000000000ab","hosts":{"members":3,"converged":1,"acting":1,"asking":0,"behind":1,"failed":0,"conflict":0,"silent":1,"down":0,"over":0},"held":1,"limit":2,"silent":{"web-90":"2027-01-15T08:00:00Z"},"disagree":1,"why":"no canary is alive","beat":9}"#,
    );
}

#[test]
fn control() {
    golden(&ControlRecord::default(), r#"{"format":1}"#);
    let order = |number| Order {
        number,
        hosts: Vec::new(),
        by: "alice@admin".to_owned(),
        at: at(),
        reason: Some("deploy".to_owned()),
    };
    let version =
        || VersionOrder { version: Version::Revision(2), by: "bob".to_owned(), at: at(), reason: None };
    let record = ControlRecord {
        paused: Some(order(1)),
        resumed: Some(order(2)),
        aborted: Some(version()),
        promoted: Some(version()),
        retry: Some(Order { hosts: vec![host("web-1")], reason: None, ..order(3) }),
        set: Some(OrderSet {
            max_parallel: Share::Percent(20),
            lasts: Some(Duration::from_hours(1)),
            number: 4,
            by: "bob".to_owned(),
            at: at(),
            reason: None,
        }),
        rest: Rest::default(),
    };
    golden(
        &record,
        r#"{"format":1,"paused":{"number":1,"by":"alice@admin","at":"2027-01-15T08:00:00Z","reason":"deploy"},"resumed":{"number":2,"by":"alice@admin","at":"2027-01-15T08:00:00Z","reason":"deploy"},"aborted":{"version":"2","by":"bob","at":"2027-01-15T08:00:00Z"},"promoted":{"version":"2","by":"bob","at":"2027-01-15T08:00:00Z"},"retry":{"number":3,"hosts":["web-1"],"by":"alice@admin","at":"2027-01-15T08:00:00Z"},"set":{"max_parallel":"20%","for":"1h","number":4,"by":"bob","at":"2027-01-15T08:00:00Z"}}"#,
    );
}

#[test]
fn unknown_fields_are_kept() {
    let mut record = host_record();
    record.rest.0.insert("colour".to_owned(), json!({"of": ["a", 1]}));
    let text = record.encode().unwrap();
    assert!(String::from_utf8_lossy(&text).contains(r#""colour":{"of":["a",1]}"#));
    assert_eq!(HostRecord::decode(&text), Ok(record));
}

#[test]
fn a_later_format_is_recognised_whatever_it_holds() {
    assert_eq!(HostRecord::decode(br#"{"format":2,"state":["new"]}"#), Err(Unreadable::Later(2)));
    assert_eq!(Rollout::decode(br#"{"format":9}"#), Err(Unreadable::Later(9)));
}

#[test]
fn garbage_is_refused_and_never_a_panic() {
    let long = vec![b'x'; 1 << 20];
    let deep = "[".repeat(1000);
    for wrong in [
        &b""[..],
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        br#"{"format":"1"}"#,
        br#"{"format":0}"#,
        br#"{"format":-1}"#,
        br#"{"format":1}"#,
        deep.as_bytes(),
    ] {
        assert!(matches!(HostRecord::decode(wrong), Err(Unreadable::Garbage(_))), "{wrong:?}");
    }
    assert_eq!(ControlRecord::decode(&long), Err(Unreadable::TooLong(1 << 20, 1024)));
    let whole = host_record().encode().unwrap();
    for end in 0..whole.len() {
        assert!(HostRecord::decode(&whole[..end]).is_err());
    }
}

#[test]
fn records_fit_what_readers_accept() {
    let long = |at: usize| host(&format!("{at:064}"));
    let mut summary = Summary::default();
    for host in (0..SILENT).map(long) {
        summary.silent.insert(host, at());
    }
    let read = Summary::decode(&summary.encode().unwrap()).unwrap();
    assert!(read.silent.len() < SILENT && read.silent.len() > 30, "{}", read.silent.len());
    let failure =
        |n| HostFailure { host: long(n), outcome: FailureKind::Lost, exit_code: None, attempt: 1, at: at() };
    let rollout = Rollout { failures: (0..100).map(failure).collect(), ..Rollout::default() };
    let read = Rollout::decode(&rollout.encode().unwrap()).unwrap();
    assert_eq!(read.failures.len() + usize::try_from(read.more_lost).unwrap(), 100, "nobody is forgotten");
    let boast = HostRecord { machine: "x".repeat(5000), ..host_record() };
    assert!(matches!(boast.encode(), Err(TooLong(_, 4096))));
}

const SILENT: usize = 50;
