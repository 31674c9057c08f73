//! The driver and the etcd back end against real servers, healthy and not.
//!
//! Every test ends with the same check: the last state that was seen is the store's last value, and no state was older
//! than one before it.

mod access;
mod basics;
mod cluster;
mod entrance;
mod faults;
mod flood;
mod history;
mod load;

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use twitcher::store::{Credentials, Store, StoreSpec, StoreUrl, Subscribe, Subscription, Tls, Update};
use twitcher::watch::{Content, Key, Seq, StoreName, WatchType};

use crate::fixture::server::LONG;

pub(super) fn spec(endpoints: &[u16], prefix: &str) -> StoreSpec {
    // A failing test prints what the driver logs.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    let endpoints = endpoints.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let url = StoreUrl::Etcd { endpoints, prefix: prefix.to_owned(), tls: false };
    StoreSpec::new(StoreName::new("test").unwrap(), url)
}

pub(super) fn store(port: u16) -> Store {
    Store::open(spec(&[port], ""))
}

pub(super) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// A subscription that checks the order of states.
pub(super) struct Seen {
    subscription: Subscription,
    last: Seq,
    pub(super) updates: u64,
}

pub(super) fn data(store: &Store, text: &str) -> Seen {
    watch(store, text, WatchType::Data, false)
}

pub(super) fn children(store: &Store, text: &str) -> Seen {
    watch(store, text, WatchType::Children, false)
}

pub(super) fn tree(store: &Store, text: &str) -> Seen {
    watch(store, text, WatchType::Tree, false)
}

pub(super) fn every(store: &Store, text: &str) -> Seen {
    watch(store, text, WatchType::Data, true)
}

fn watch(store: &Store, text: &str, watch_type: WatchType, every: bool) -> Seen {
    let wanted = Subscribe::new(key(text), watch_type);
    subscribe(store, if every { wanted.with_every_update() } else { wanted })
}

pub(super) fn subscribe(store: &Store, subscribe: Subscribe) -> Seen {
    Seen { subscription: store.subscribe(subscribe), last: Seq(0), updates: 0 }
}

impl Seen {
    pub(super) async fn next(&mut self) -> Update {
        let update = timeout(LONG, self.subscription.next()).await.expect("a state in time");
        assert!(update.state.seq > self.last, "{update:?} after {:?}", self.last);
        assert!(update.updates > 0);
        self.last = update.state.seq;
        self.updates += update.updates;
        update
    }

    pub(super) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Reads until this state. If values are numbers, none is lower than an earlier one.
    pub(super) async fn until(&mut self, wanted: &str) {
        let mut highest = i64::MIN;
        let mut shown = Vec::new();
        let reading = async {
            loop {
                let text = show(&self.next().await.state.content);
                if let Ok(number) = text.parse::<i64>() {
                    assert!(number >= highest, "{number} after {highest}");
                    highest = number;
                }
                if text == wanted {
                    return;
                }
                shown.push(text);
            }
        };
        let done = timeout(LONG * 2, reading).await;
        assert!(done.is_ok(), "waited for {wanted:?}, saw {shown:?}");
    }

    /// Checks that nothing new arrives within a time that would suffice.
    pub(super) async fn nothing_within(&mut self, time: Duration) {
        let waited = timeout(time, self.subscription.next()).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    /// Waits until the driver has verified the state after this moment.
    pub(super) async fn verified_since(&self, moment: Instant) {
        let verified = async {
            while self.subscription.freshness().verified.is_none_or(|verified| verified < moment) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, verified).await.expect("a verification in time");
    }

    /// Waits until the subscription reports an error.
    pub(super) async fn error(&self) -> String {
        let error = async {
            loop {
                if let Some(error) = self.subscription.freshness().error {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, error).await.expect("an error in time")
    }

    pub(super) async fn no_error(&self) {
        let no_error = async {
            while self.subscription.freshness().error.is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, no_error).await.expect("the error to go in time");
    }
}

/// A state in one line: `-` if absent.
pub(super) fn show(content: &Content) -> String {
    match content {
        Content::Absent => "-".to_owned(),
        Content::Unread => "unread".to_owned(),
        Content::Value(value) => String::from_utf8_lossy(value).into_owned(),
        Content::Children(names) => names.join(" "),
        Content::Tree(tree) => {
            let show = |(path, value): (&str, Option<&[u8]>)| {
                let value = value.unwrap_or_default();
                format!("{path}={}", String::from_utf8_lossy(value))
            };
            tree.iter().map(show).collect::<Vec<_>>().join(" ")
        }
        _ => panic!("this test expects no such content: {content:?}"),
    }
}

pub(super) async fn connected(store: &Store) {
    let mut health = store.health();
    let connected = health.wait_for(|health| health.state == twitcher::store::LinkState::Connected);
    timeout(LONG, connected).await.expect("a connection in time").expect("a driver");
}

pub(super) async fn down(store: &Store) -> String {
    let mut health = store.health();
    let down = health.wait_for(|health| health.state == twitcher::store::LinkState::Down);
    let health = timeout(LONG, down).await.expect("a loss in time").expect("a driver").clone();
    health.error.expect("a reason")
}

pub(super) fn password(username: &str, file: &Path) -> Credentials {
    Credentials::Password { username: username.to_owned(), password_file: file.to_owned() }
}

pub(super) fn tls(ca: &Path, client: Option<(&Path, &Path)>) -> Tls {
    let mut tls = Tls::default();
    tls.ca = Some(ca.to_owned());
    tls.cert = client.map(|(cert, _)| cert.to_owned());
    tls.key = client.map(|(_, key)| key.to_owned());
    tls
}
