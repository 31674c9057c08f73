//! Watch streams: each carries thousands of watches, identified by ids that are never reused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use etcd_client::proto::PbWatchResponse;
use etcd_client::{Error, WatchOptions, WatchRequestSender};
use futures::StreamExt;
use futures::stream::{AbortHandle, BoxStream, SelectAll};
use tokio::sync::mpsc;

use super::connect::{Connection, late};
use super::explain::explain;
use super::keys::Range;
use crate::store::StoreError;
use crate::store::session::TargetId;

/// Watches on one stream before another is opened.
const MOST_ON_STREAM: usize = 5000;

/// Time limit for opening a stream.
const OPEN: Duration = Duration::from_secs(10);

/// One watch in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watch {
    /// Our own number, above zero: the server's first number is zero, which a refused watch has too.
    pub(super) number: i64,
    pub(super) target: TargetId,
    pub(super) range: Range,
    /// The first revision to deliver.
    pub(super) from: i64,
}

/// A response and its stream.
type Told = (u64, Result<PbWatchResponse, Error>);

#[derive(Debug)]
enum Ask {
    Watch(Watch),
    Cancel(i64),
}

/// All watch streams of one session.
pub(super) struct Streams {
    answers: SelectAll<BoxStream<'static, Told>>,
    /// The newest one takes new watches. The others are full or have an old token, and keep the watches they have.
    open: BTreeMap<u64, Stream>,
    opened: u64,
    watches: BTreeMap<i64, Placement>,
}

struct Stream {
    asks: mpsc::UnboundedSender<Ask>,
    watches: usize,
    /// Watches that the server has not acknowledged yet, in the order of the requests, which it keeps.
    unacknowledged: VecDeque<i64>,
    /// Takes no new watches.
    retired: bool,
    answers: AbortHandle,
}

struct Placement {
    stream: u64,
    target: TargetId,
}

/// A newly opened stream, with its first watch.
pub(super) struct Opened {
    first: Watch,
    asks: mpsc::UnboundedSender<Ask>,
    answers: BoxStream<'static, Result<PbWatchResponse, Error>>,
}

impl Opened {
    pub(super) fn first(&self) -> &Watch {
        &self.first
    }
}

impl Watch {
    fn options(&self) -> WatchOptions {
        let mut options =
            WatchOptions::new().with_watch_id(self.number).with_start_revision(self.from).with_fragment();
        if let Some(end) = &self.range.end {
            options = options.with_range(end.clone());
        }
        options
    }
}

/// Opens a stream, after renewing the token if there is a login: a stream keeps the token that it was opened with.
pub(super) async fn open(connection: Connection, first: Watch) -> Result<Opened, StoreError> {
    if connection.has_login {
        connection.renew_login().await?;
    }
    let what = || format!("open a watch stream to {}", connection.server);
    let mut client = connection.watch();
    let opening = client.watch(first.range.start.clone(), Some(first.options()));
    let opened = match tokio::time::timeout(OPEN, opening).await {
        Ok(opened) => opened.map_err(|error| explain(what(), &error))?,
        Err(_) => return Err(late(what(), OPEN)),
    };
    let (sender, answers) = opened.split();
    let (asks, asks_in) = mpsc::unbounded_channel();
    tokio::spawn(forward(asks_in, sender));
    let answers = answers.map(|answer| answer.map(|response| response.0)).boxed();
    Ok(Opened { first, asks, answers })
}

/// Sends requests from a task of its own, because the session must keep reading responses: the server stops reading
/// requests while its responses are not read.
async fn forward(mut asks: mpsc::UnboundedReceiver<Ask>, mut sender: WatchRequestSender) {
    while let Some(ask) = asks.recv().await {
        let sent = match ask {
            Ask::Watch(watch) => sender.watch(watch.range.start.clone(), Some(watch.options())).await,
            Ask::Cancel(number) => sender.cancel(number).await,
        };
        // The end of the stream is noticed by its reader.
        if sent.is_err() {
            return;
        }
    }
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { answers: SelectAll::new(), open: BTreeMap::new(), opened: 0, watches: BTreeMap::new() }
    }

    /// Creates a watch on the newest stream; returns it if a new stream must be opened first.
    pub(super) fn watch(&mut self, watch: Watch) -> Option<Watch> {
        match self.open.last_entry() {
            Some(mut newest) if !newest.get().retired && newest.get().watches < MOST_ON_STREAM => {
                let placement = Placement { stream: *newest.key(), target: watch.target };
                self.watches.insert(watch.number, placement);
                newest.get_mut().watches += 1;
                newest.get_mut().unacknowledged.push_back(watch.number);
                let _ = newest.get().asks.send(Ask::Watch(watch));
                None
            }
            Some(_) | None => Some(watch),
        }
    }

    /// The watch's target; `None` for a late response to a cancelled or forgotten watch.
    pub(super) fn target(&self, number: i64) -> Option<TargetId> {
        self.watches.get(&number).map(|place| place.target)
    }

    /// Ends a watch.
    pub(super) fn cancel(&mut self, number: i64) {
        if let Some(place) = self.watches.get(&number)
            && let Some(stream) = self.open.get(&place.stream)
        {
            let _ = stream.asks.send(Ask::Cancel(number));
        }
        self.forget(number);
    }

    /// Removes a watch that the server cancelled.
    pub(super) fn forget(&mut self, number: i64) {
        let Some(place) = self.watches.remove(&number) else { return };
        let Some(stream) = self.open.get_mut(&place.stream) else { return };
        stream.watches -= 1;
        let is_newest = self.open.last_key_value().is_some_and(|(newest, _)| *newest == place.stream);
        if !is_newest {
            self.close_if_unused(place.stream);
        }
    }

    /// Creates no further watches on the newest stream, because its token is old.
    pub(super) fn retire_newest(&mut self) {
        if let Some(mut newest) = self.open.last_entry() {
            newest.get_mut().retired = true;
        }
    }

    pub(super) fn add(&mut self, opened: Opened) {
        let before = self.open.last_key_value().map(|(newest, _)| *newest);
        self.opened += 1;
        let placement = Placement { stream: self.opened, target: opened.first.target };
        self.watches.insert(opened.first.number, placement);
        // The end of a stream is an error: this side never ends one.
        let end = futures::stream::once(async {
            Err(Error::WatchError("the server ended the watch stream".to_owned()))
        });
        let number = self.opened;
        let answers = opened.answers.chain(end).map(move |answer| (number, answer));
        let (answers, abort) = futures::stream::abortable(answers);
        self.answers.push(answers.boxed());
        let unacknowledged = VecDeque::from([opened.first.number]);
        let stream = Stream { asks: opened.asks, watches: 1, unacknowledged, retired: false, answers: abort };
        self.open.insert(number, stream);
        if let Some(before) = before {
            self.close_if_unused(before);
        }
    }

    /// The next response on any stream, with the number of its watch.
    pub(super) async fn next(&mut self) -> Result<PbWatchResponse, Error> {
        let Some((stream, answer)) = self.answers.next().await else { return std::future::pending().await };
        let mut response = answer?;
        if response.created
            && let Some(stream) = self.open.get_mut(&stream)
        {
            let asked = stream.unacknowledged.pop_front();
            // etcd before 3.5 refuses a watch without a number.
            if response.watch_id <= 0 {
                response.watch_id = asked.unwrap_or(response.watch_id);
            }
        }
        Ok(response)
    }

    fn close_if_unused(&mut self, stream: u64) {
        if self.open.get(&stream).is_some_and(|stream| stream.watches == 0)
            && let Some(unused) = self.open.remove(&stream)
        {
            unused.answers.abort();
        }
    }
}
