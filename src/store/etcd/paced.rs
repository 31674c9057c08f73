//! A connection to an etcd member, read no faster than a share of one core can handle.
//!
//! HTTP/2 lets a server send frames that cost it nothing and carry nothing (PING, SETTINGS, `WINDOW_UPDATE`), and the client
//! library answers all of them. Below TLS these frames cannot be recognized, but their cost can be measured: it is the CPU
//! time between one read and the next.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::transport::Uri;

/// Time limit for connecting to all addresses of a name. Each address gets its share, so that a dead one leaves time for the
/// others.
const CONNECT: Duration = Duration::from_secs(3);
/// CPU time that may be spent without a pause: enough for several hundred megabytes of values, so that a large tree is read
/// at full speed.
const BURST: Duration = Duration::from_secs(2);
/// In the long run, one part in this many of one core may be spent.
const SHARE: u32 = 4;
/// The most that is charged for one read: the rest of the CPU time was spent on other tasks of the same thread.
const MOST_PER_READ: Duration = Duration::from_millis(20);

/// The CPU time that the connections of one session may spend. Pure.
#[derive(Debug)]
struct Budget {
    left: Duration,
    at: Instant,
    /// Whether the log says that it was exhausted; once is enough.
    is_logged: bool,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { left: BURST, at: now, is_logged: false }
    }

    /// Spends CPU time. Returns how long to wait before the next read. Unspent time is saved, up to the burst.
    fn spend(&mut self, spent: Duration, now: Instant) -> Duration {
        self.left = (self.left + now.saturating_duration_since(self.at) / SHARE).min(BURST);
        self.at = now;
        if let Some(left) = self.left.checked_sub(spent) {
            self.left = left;
            Duration::ZERO
        } else {
            let missing = spent.saturating_sub(self.left);
            let wait = missing * SHARE;
            // The wait earns what is missing, so it must not be saved a second time.
            (self.left, self.at) = (Duration::ZERO, now + wait);
            wait
        }
    }
}

/// The budget that the connections of one store share.
#[derive(Debug, Clone)]
struct Shared {
    store: Arc<str>,
    budget: Arc<Mutex<Budget>>,
}

impl Shared {
    fn new(store: &str) -> Self {
        Self { store: store.into(), budget: Arc::new(Mutex::new(Budget::new(Instant::now()))) }
    }

    fn spend(&self, spent: Duration) -> Duration {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = budget.spend(spent, Instant::now());
        if !wait.is_zero() && !std::mem::replace(&mut budget.is_logged, true) {
            tracing::warn!(
                store = &*self.store,
                "the server sends more than a quarter of a core can handle, so it is read more slowly; check what \
                 answers at the store's URL"
            );
        }
        wait
    }
}

/// Opens paced connections, which share one budget.
#[derive(Debug, Clone)]
pub(super) struct PacedConnector<C = HttpConnector> {
    tcp: C,
    shared: Shared,
}

impl PacedConnector {
    pub(super) fn new(store: &str) -> Self {
        Self { tcp: limited(HttpConnector::new()), shared: Shared::new(store) }
    }
}

/// Tries IPv4 soon after IPv6 ("happy eyeballs", the connector's default), and each address for a limited time.
fn limited<R>(mut tcp: HttpConnector<R>) -> HttpConnector<R> {
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp
}

impl<C> Service<Uri> for PacedConnector<C>
where
    C: Service<Uri, Response = TokioIo<TcpStream>>,
    C::Future: Send + 'static,
{
    type Response = TokioIo<PacedStream>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Response, C::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.tcp.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let shared = self.shared.clone();
        let paced = |tcp: TokioIo<TcpStream>| {
            TokioIo::new(PacedStream { stream: tcp.into_inner(), shared, read: None, rest: None })
        };
        self.tcp.call(server).map_ok(paced).boxed()
    }
}

/// A connection that delivers no bytes while the budget is exhausted.
pub(super) struct PacedStream {
    stream: TcpStream,
    shared: Shared,
    /// The thread, and its CPU time, when bytes were last delivered.
    read: Option<(std::thread::ThreadId, Duration)>,
    rest: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// The CPU time of this thread so far.
fn cpu_time() -> (std::thread::ThreadId, Duration) {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
    (std::thread::current().id(), time)
}

impl AsyncRead for PacedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((thread, before)) = self.read.take() {
            let (now_on, now) = cpu_time();
            let since = now.saturating_sub(before).min(MOST_PER_READ);
            let spent = if now_on == thread { since } else { Duration::ZERO };
            let wait = self.shared.spend(spent);
            if !wait.is_zero() {
                self.rest = Some(Box::pin(tokio::time::sleep(wait)));
            }
        }
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            self.rest = None;
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.read = Some(cpu_time());
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use futures::future::{Ready, ready};
    use hyper_util::client::legacy::connect::dns::Name;
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// Every name has these addresses.
    #[derive(Clone)]
    struct Names(Vec<SocketAddr>);

    impl Service<Name> for Names {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            ready(Ok(self.0.clone().into_iter()))
        }
    }

    /// A listener whose queue is full: the kernel drops further connection requests, so that it looks like a dead host.
    async fn dead(port: u16) -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port))).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            queued.push(connected.unwrap());
        }
        (address, listener, queued)
    }

    #[tokio::test]
    async fn a_name_whose_first_address_is_dead_is_reached_at_another_one() {
        let live = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = live.local_addr().unwrap().port();
        let (dead, _listener, _queued) = dead(port).await;
        let names = Names(vec![dead, live.local_addr().unwrap()]);
        let tcp = limited(HttpConnector::new_with_resolver(names));
        let mut connector = PacedConnector { tcp, shared: Shared::new("main") };
        let server = Uri::try_from(format!("http://etcd.example:{port}")).unwrap();
        let opened =
            tokio::time::timeout(CONNECT, connector.call(server)).await.expect("it is reached in time");
        let stream = opened.unwrap().into_inner().stream;
        assert_eq!(stream.peer_addr().unwrap().ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn after_a_burst_only_a_share_of_one_core_is_spent() {
        let began = Instant::now();
        let (mut budget, mut now, mut spent) = (Budget::new(began), began, Duration::ZERO);
        let read = Duration::from_millis(2);
        while now.duration_since(began) < Duration::from_mins(1) {
            now += read;
            spent += read;
            now += budget.spend(read, now);
        }
        let allowed = BURST + Duration::from_mins(1) / SHARE;
        assert!(spent.abs_diff(allowed) < Duration::from_secs(1), "{spent:?} were spent of {allowed:?}");
    }

    #[test]
    fn a_reader_below_its_share_never_waits() {
        let mut now = Instant::now();
        let mut budget = Budget::new(now);
        for _ in 0..10_000 {
            now += Duration::from_millis(10);
            assert_eq!(budget.spend(Duration::from_millis(2), now), Duration::ZERO);
        }
        now += Duration::from_hours(1);
        assert_eq!(budget.spend(BURST, now), Duration::ZERO, "the whole burst was saved");
        assert!(budget.spend(BURST, now) > Duration::ZERO, "and nothing beyond it");
    }
}
