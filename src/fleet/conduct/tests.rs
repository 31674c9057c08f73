//! The conductor's machine by itself: the seat, the epoch, the empty `control`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Conductor, Effect, Input, Moment, Part};
use crate::fleet::record::{
    ConductorRecord, ControlRecord, HostRecord, HostState, Instance, Permit, Rest, Rollout,
};
use crate::fleet::terms::{MaxParallel, Terms};
use crate::fleet::{
    BootTime, GroupKey, GroupName, HostName, KeyState, PermitId, Revision, StateId, StateIdentity, TenureId,
    Transaction, TransactionOutcome, Value, Write,
};
use crate::watch::Version;

fn now(millis: u64) -> Moment {
    let boot = BootTime(Duration::from_millis(millis));
    // The longest wait of all.
    Moment { boot, wall: Timestamp::UNIX_EPOCH, chance: 4_999_999_999 }
}

fn vacant(at: i64) -> Input {
    Input::Changed(GroupKey::Conductor, KeyState { at: Revision(at), value: None })
}

fn eligible() -> Conductor {
    let mut conductor = Conductor::new(Part {
        group: GroupName::new("git").unwrap(),
        host: HostName::new("a").unwrap(),
        inst: Instance::try_from("l/b/i/n".to_owned()).unwrap(),
        identity: StateIdentity::Data,
        ttl: Duration::from_secs(30),
    });
    let verified = Input::Verified { remembered: true };
    for input in [Input::Tenure(Some(TenureId(1))), Input::Target(None), verified] {
        assert_eq!(conductor.step(input, now(0)), []);
    }
    conductor
}

fn wait(conductor: &Conductor) -> Duration {
    conductor.deadline().unwrap().since(now(0).boot)
}

fn held_by_another(at: i64) -> KeyState {
    let record = ConductorRecord {
        host: HostName::new("b").unwrap(),
        inst: Instance::try_from("l/b/i/m".to_owned()).unwrap(),
        since: Timestamp::UNIX_EPOCH,
        rest: Rest::default(),
    };
    KeyState { at: Revision(at), value: Some(Value::Conductor(Arc::new(record))) }
}

/// The answer to a campaign comes after the news that the seat was lost again.
#[test]
fn a_seat_that_is_known_to_be_lost_is_not_taken_by_a_late_answer() {
    for lost in [held_by_another(4), KeyState { at: Revision(4), value: None }] {
        let mut conductor = eligible();
        assert_eq!(conductor.step(vacant(1), now(0)), []);
        let effects = conductor.step(Input::Wakeup, now(100));
        assert!(matches!(effects[..], [Effect::Commit(1, _)]), "{effects:?}");
        assert_eq!(conductor.step(Input::Changed(GroupKey::Conductor, lost.clone()), now(100)), []);
        let won = Input::Committed(1, TransactionOutcome::Applied(Revision(2)));
        assert_eq!(conductor.step(won, now(200)), [], "{lost:?}");
        assert_eq!(conductor.seat_at(), lost.revision());
    }
}

#[test]
fn only_a_seat_that_was_found_vacant_is_sought_at_once_and_only_once() {
    let mut conductor = eligible();
    assert_eq!(conductor.step(vacant(1), now(0)), []);
    assert!(wait(&conductor) <= Duration::from_millis(100), "{:?}", wait(&conductor));
    let effects = conductor.step(Input::Wakeup, now(100));
    assert!(matches!(effects[..], [Effect::Commit(1, _)]), "{effects:?}");
    assert_eq!(conductor.step(Input::Committed(1, TransactionOutcome::Refused), now(100)), []);
    assert!(wait(&conductor) > Duration::from_secs(4), "the next attempt is not hurried");

    let mut conductor = eligible();
    drop(conductor.step(Input::Changed(GroupKey::Conductor, held_by_another(1)), now(0)));
    assert_eq!(conductor.step(vacant(2), now(0)), []);
    assert!(wait(&conductor) > Duration::from_secs(4), "all hosts have seen it become vacant");
}

const STATE: StateId = StateId { version: Version::Revision(1), digest: 1 };

/// A host that asks for `STATE`, and says of permits what it says.
fn asking(max_parallel: MaxParallel, back: Option<PermitId>) -> Value {
    Value::Host(Arc::new(HostRecord {
        inst: Instance::try_from("l/b/i/h".to_owned()).unwrap(),
        machine: "m".to_owned(),
        state: HostState::Asking,
        why: None,
        seen: Some(STATE),
        applied: None,
        permit: None,
        back,
        swap: false,
        since: Timestamp::UNIX_EPOCH,
        limit: Duration::from_secs(30),
        attempt: 0,
        failures: 0,
        last: None,
        terms: Arc::new(Terms { max_parallel, ..Terms::default() }),
        target: "data /git/head".into(),
        rest: Rest::default(),
    }))
}

fn one() -> MaxParallel {
    Terms::default().max_parallel
}

/// A store of one group that applies what is sent, with one host that asks.
struct Store {
    at: i64,
    keys: std::collections::BTreeMap<GroupKey, KeyState>,
    /// Writes of this key are refused.
    refused: Option<GroupKey>,
}

impl Store {
    fn new(host: Value) -> Self {
        let alive = crate::fleet::record::Alive {
            inst: Instance::try_from("l/b/i/h".to_owned()).unwrap(),
            tenure: TenureId(2),
            rest: Rest::default(),
        };
        let mut store = Self { at: 10, keys: std::collections::BTreeMap::new(), refused: None };
        store.put(GroupKey::Alive(name()), Value::Alive(Arc::new(alive)));
        store.put(GroupKey::Host(name()), host);
        store
    }

    fn put(&mut self, key: GroupKey, value: Value) -> KeyState {
        self.at += 1;
        let entry = KeyState { at: Revision(self.at), value: Some(value) };
        self.keys.insert(key, entry.clone());
        entry
    }

    fn all(&self) -> Input {
        let entries = self.keys.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        Input::All { entries, at: Revision(self.at), target: Some(STATE) }
    }

    fn commit(&mut self, transaction: &Transaction) -> TransactionOutcome {
        if transaction.write.iter().any(|write| Some(write.key()) == self.refused.as_ref()) {
            return TransactionOutcome::Refused;
        }
        let revision = |key| self.keys.get(key).map_or(Revision::ABSENT, |entry| entry.at);
        assert!(transaction.require.iter().all(|(key, at)| revision(key) == *at), "{transaction:?}");
        self.at += 1;
        for write in &transaction.write {
            match write {
                Write::Put { key, value, .. } => {
                    let entry = KeyState { at: Revision(self.at), value: Some(value.clone()) };
                    self.keys.insert(key.clone(), entry);
                }
                Write::Delete { key } => drop(self.keys.remove(key)),
            }
        }
        TransactionOutcome::Applied(Revision(self.at))
    }

    /// Performs effects until none is left. Returns what was sent, refused or not.
    fn perform(&mut self, conductor: &mut Conductor, effects: Vec<Effect>) -> Vec<Transaction> {
        let mut sent = Vec::new();
        let mut effects = std::collections::VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            assert!(sent.len() < 20, "it goes on without pause: {sent:?}");
            let input = match effect {
                Effect::ReadAll => self.all(),
                Effect::Commit(ticket, transaction) => {
                    let outcome = self.commit(&transaction);
                    sent.push(transaction);
                    Input::Committed(ticket, outcome)
                }
                Effect::ReadSummary | Effect::Mirror(_) | Effect::ShowSeat => continue,
            };
            effects.extend(conductor.step(input, now(300)));
        }
        sent
    }

    fn conduct(&mut self) -> (Conductor, Vec<Transaction>) {
        let mut conductor = eligible();
        drop(conductor.step(Input::Target(Some(STATE)), now(0)));
        drop(conductor.step(vacant(1), now(0)));
        let effects = conductor.step(Input::Wakeup, now(100));
        let sent = self.perform(&mut conductor, effects);
        assert!(conductor.conducts());
        (conductor, sent)
    }

    fn rollout(&self) -> &Rollout {
        let Some(Value::Rollout(rollout)) = &self.keys[&GroupKey::Rollout].value else { panic!("none") };
        rollout
    }

    fn permit(&self) -> Option<&Permit> {
        match &self.keys.get(&GroupKey::Permit(name()))?.value {
            Some(Value::Permit(permit)) => Some(permit),
            other => panic!("{other:?}"),
        }
    }
}

fn name() -> HostName {
    HostName::new("h").unwrap()
}

#[test]
fn a_conductor_that_reads_another_ones_seat_stands_down() {
    let mut store = Store::new(asking(one(), None));
    let mut conductor = eligible();
    drop(conductor.step(vacant(1), now(0)));
    let effects = conductor.step(Input::Wakeup, now(100));
    let [Effect::Commit(ticket, transaction)] = &effects[..] else { panic!("{effects:?}") };
    let won = store.commit(transaction);
    let effects = conductor.step(Input::Committed(*ticket, won), now(200));
    assert_eq!(effects, [Effect::Mirror(true), Effect::ReadAll]);
    store.at += 1;
    store.keys.insert(GroupKey::Conductor, held_by_another(store.at));
    assert_eq!(conductor.step(store.all(), now(300)), [Effect::Mirror(false)]);
}

/// A store was restored, and a host reports late which permit of the lost history it has given back.
#[test]
fn an_epoch_above_the_own_one_is_exceeded_before_anything_is_granted() {
    let mut store = Store::new(asking(one(), None));
    let (mut conductor, _) = store.conduct();
    assert_eq!((store.rollout().epoch, store.permit().map(|permit| permit.id.epoch)), (1, Some(1)));
    let lost = PermitId { epoch: 9, number: 3 };
    let late = store.put(GroupKey::Host(name()), asking(one(), Some(lost)));
    let effects = conductor.step(Input::Changed(GroupKey::Host(name()), late), now(400));
    assert_eq!(effects, [Effect::ReadAll]);
    drop(store.perform(&mut conductor, effects));
    assert_eq!((store.rollout().epoch, store.permit().map(|permit| permit.id.epoch)), (10, Some(10)));
}

#[test]
fn a_late_report_during_a_takeover_is_exceeded_as_well() {
    let mut store = Store::new(asking(one(), None));
    let mut conductor = eligible();
    drop(conductor.step(Input::Target(Some(STATE)), now(0)));
    drop(conductor.step(vacant(1), now(0)));
    let mut effects = conductor.step(Input::Wakeup, now(100));
    // The seat, and the first reading.
    for _ in 0..2 {
        let input = match effects.pop() {
            Some(Effect::Commit(ticket, transaction)) => Input::Committed(ticket, store.commit(&transaction)),
            Some(Effect::ReadAll) => store.all(),
            other => panic!("{other:?}"),
        };
        effects = conductor.step(input, now(200));
    }
    store.put(GroupKey::Host(name()), asking(one(), Some(PermitId { epoch: 9, number: 3 })));
    drop(store.perform(&mut conductor, effects));
    // Hosts have the time to report after a takeover.
    let effects = conductor.step(Input::Wakeup, now(30_000));
    drop(store.perform(&mut conductor, effects));
    assert_eq!((store.rollout().epoch, store.permit().map(|permit| permit.id.epoch)), (10, Some(10)));
}

#[test]
fn a_host_that_forges_the_greatest_permit_gets_none_and_holds_nobody_up() {
    let forged = PermitId { epoch: u64::MAX, number: u64::MAX };
    let mut store = Store::new(asking(one(), Some(forged)));
    let other = HostName::new("z").unwrap();
    let alive = store.keys[&GroupKey::Alive(name())].value.clone().unwrap();
    store.put(GroupKey::Alive(other.clone()), alive);
    store.put(GroupKey::Host(other.clone()), asking(one(), None));
    let (_, _) = store.conduct();
    assert_eq!(store.permit(), None);
    assert!(store.keys.contains_key(&GroupKey::Permit(other)), "{:?}", store.keys);
}

fn makes_control(transaction: &Transaction) -> bool {
    let write = Write::put(GroupKey::Control, Value::Control(Arc::new(ControlRecord::default())));
    *transaction == Transaction { require: vec![(GroupKey::Control, Revision::ABSENT)], write: vec![write] }
}

#[test]
fn an_empty_control_is_made_before_the_first_grant() {
    let mut store = Store::new(asking(one(), None));
    let (_, sent) = store.conduct();
    assert_eq!(sent.iter().filter(|transaction| makes_control(transaction)).count(), 1, "{sent:?}");
    let control = store.keys[&GroupKey::Control].at;
    assert_eq!(store.permit().unwrap().control, Some(control), "no claim has to prove its absence");
}

#[test]
fn where_control_may_not_be_written_hosts_act_without_it() {
    let mut store = Store { refused: Some(GroupKey::Control), ..Store::new(asking(one(), None)) };
    let (_, sent) = store.conduct();
    assert_eq!(sent.iter().filter(|transaction| makes_control(transaction)).count(), 1, "{sent:?}");
    assert_eq!(store.permit().unwrap().control, Some(Revision::ABSENT));
}

#[test]
fn control_is_not_made_where_it_is_or_where_nobody_needs_a_permit() {
    let mut store = Store::new(asking(one(), None));
    let paused = ControlRecord { rest: Rest::default(), ..ControlRecord::default() };
    store.put(GroupKey::Control, Value::Control(Arc::new(paused)));
    let (_, sent) = store.conduct();
    assert!(!sent.iter().any(makes_control), "{sent:?}");
    let mut store = Store::new(asking(MaxParallel::Unlimited, None));
    let (_, sent) = store.conduct();
    assert!(!sent.iter().any(makes_control), "{sent:?}");
}
