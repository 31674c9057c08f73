//! `/metrics`, `/healthz`, `/readyz` and `/fleet` on `http_listen`.
//!
//! Anyone who reaches the port may connect. So only few connections are open at once, each short and for one request, and
//! silent clients use up no descriptors that the watches need (promise P4).

mod fleet;
mod page;
mod probe;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use self::fleet::Fleets;
use self::probe::ask;
pub(super) use self::probe::{GroupPlace, Probe};
use crate::control::ConnectionLimit;

/// Connections served at once; further ones wait in the kernel, where they cost no descriptor.
const CONNECTIONS: usize = 64;
/// How long a client may take to send its request …
const ASKING: Duration = Duration::from_secs(5);
/// … and how long its connection may last.
const VISIT: Duration = Duration::from_secs(30);

/// The longest time for which a metrics page is reused.
const METRICS_AGE: Duration = Duration::from_secs(1);

/// How often binding a taken port is retried.
const RETRY: Duration = Duration::from_secs(5);

/// The listener, or the attempts to open it. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Http {
    task: tokio::task::JoinHandle<()>,
    complaint: watch::Receiver<Option<String>>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    /// Listens as soon as the port is free.
    pub(super) fn start(listen: SocketAddr, probes: mpsc::Sender<Probe>) -> Self {
        let (complaint_out, complaint) = watch::channel(None);
        let task = tokio::spawn(async move {
            let listener = bind(listen, &complaint_out).await;
            accept(listener, probes).await;
        });
        Self { task, complaint }
    }

    /// Why nothing is served.
    pub(super) fn complaint(&self) -> Option<String> {
        self.complaint.borrow().clone()
    }
}

async fn bind(listen: SocketAddr, complaint: &watch::Sender<Option<String>>) -> TcpListener {
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                if complaint.send_replace(None).is_some() {
                    tracing::info!("/metrics, /healthz and /readyz are served on {listen}");
                }
                return listener;
            }
            Err(error) => {
                let text = format!(
                    "/metrics, /healthz and /readyz are not served: cannot listen on {listen}: {error}; retrying every {} s; free the port, or set http_listen in twitcher.conf to another address and restart the daemon",
                    RETRY.as_secs()
                );
                if complaint.send_replace(Some(text.clone())).is_none() {
                    tracing::error!("{text}");
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn accept(listener: TcpListener, probes: mpsc::Sender<Probe>) {
    let (metrics, ready) = (probes.clone(), probes.clone());
    let last = LastMetrics::default();
    let index = Fleets::new(probes.clone());
    let one = index.clone();
    let router = Router::new()
        .route("/fleet", get(move || index.clone().index()))
        .route("/fleet/{group}", get(move |path| one.clone().one(path)))
        .route("/metrics", get(move || serve_metrics(metrics, last)))
        .route("/readyz", get(move || serve_ready(ready)))
        .route("/healthz", get(move || serve_health(probes)));
    let limit = ConnectionLimit { place: "http_listen", most: CONNECTIONS, visit: VISIT };
    let accept = move |context: &mut Context<'_>| listener.poll_accept(context).map_ok(|(stream, _)| stream);
    limit.serve(accept, move |stream| serve(stream, router.clone())).await;
}

async fn serve(stream: TcpStream, router: Router) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().keep_alive(false).timer(TokioTimer::new()).header_read_timeout(ASKING);
    // Fails if the client disconnects or sends an invalid request.
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

type Page = (StatusCode, [(&'static str, &'static str); 1], String);

fn page(status: StatusCode, text: impl Into<String>) -> Page {
    (status, [("content-type", "text/plain; version=0.0.4; charset=utf-8")], text.into())
}

/// The metrics page and when it was computed.
type LastMetrics = Arc<Mutex<Option<(Instant, String)>>>;

/// Serves the metrics. Requests while a page is fresh, or is being computed, share that page: many scrapers cost the
/// daemon's loop no more than one.
async fn serve_metrics(probes: mpsc::Sender<Probe>, last: LastMetrics) -> Page {
    let mut last = last.lock().await;
    if let Some((computed, text)) = last.as_ref()
        && computed.elapsed() < METRICS_AGE
    {
        return page(StatusCode::OK, text.clone());
    }
    match ask(probes, Probe::Metrics).await {
        Some(text) => {
            *last = Some((Instant::now(), text.clone()));
            page(StatusCode::OK, text)
        }
        None => page(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

async fn serve_ready(probes: mpsc::Sender<Probe>) -> Page {
    match ask(probes, Probe::Ready).await {
        Some(Ok(())) => page(StatusCode::OK, "ready\n"),
        Some(Err(why)) => page(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        None => page(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

async fn serve_health(probes: mpsc::Sender<Probe>) -> Page {
    match ask(probes, Probe::Health).await {
        Some(()) => page(StatusCode::OK, "ok\n"),
        None => page(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn metrics_are_computed_at_most_once_a_second_for_all_that_ask() {
        let (probes, mut asked) = mpsc::channel(1);
        let loop_of_the_daemon = tokio::spawn(async move {
            let mut computed = 0;
            while let Some(probe) = asked.recv().await {
                if let Probe::Metrics(answer) = probe {
                    computed += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    answer.send(computed.to_string()).unwrap();
                }
            }
            computed
        });
        let last = LastMetrics::default();
        for round in 1..=3 {
            let crowd: Vec<_> =
                (0..100).map(|_| tokio::spawn(serve_metrics(probes.clone(), Arc::clone(&last)))).collect();
            for visitor in crowd {
                let (status, _, text) = visitor.await.unwrap();
                assert_eq!((status, text), (StatusCode::OK, round.to_string()));
            }
            tokio::time::sleep(METRICS_AGE).await;
        }
        drop(probes);
        assert_eq!(loop_of_the_daemon.await.unwrap(), 3);
    }
}
