//! `/metrics`, `/healthz` and `/readyz` on `http_listen`.
//!
//! Anybody who reaches the port may connect: so there are few connections at once, each short and for one request,
//! and clients that say nothing cost the daemon no descriptors that its watches need (promise P4).

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::control::ConnectionLimit;

/// Connections that are served at once; more wait in the kernel, where they cost no descriptor.
const CONNECTIONS: usize = 64;
/// How long a client may take to say what it wants …
const ASKING: Duration = Duration::from_secs(5);
/// … and the whole of its visit may take.
const VISIT: Duration = Duration::from_secs(30);

/// What a scraper asks the daemon's own loop, so that an answer proves that the loop turns.
#[derive(Debug)]
pub(super) enum Probe {
    /// The metrics page.
    Metrics(oneshot::Sender<String>),
    /// Why the daemon is not ready, if it is not.
    Ready(oneshot::Sender<Result<(), String>>),
    /// Whether the loop turns.
    Health(oneshot::Sender<()>),
}

/// An open listener. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Http {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens the listener.
pub(super) async fn open(listen: SocketAddr, probes: mpsc::Sender<Probe>) -> std::io::Result<Http> {
    let listener = TcpListener::bind(listen).await?;
    let (metrics, ready) = (probes.clone(), probes.clone());
    let router = Router::new()
        .route("/metrics", get(move || serve_metrics(metrics)))
        .route("/readyz", get(move || serve_ready(ready)))
        .route("/healthz", get(move || serve_health(probes)));
    let limit = ConnectionLimit { place: "http_listen", most: CONNECTIONS, visit: VISIT };
    let task = tokio::spawn(limit.serve(
        move |context| listener.poll_accept(context).map_ok(|(stream, _)| stream),
        move |stream| serve(stream, router.clone()),
    ));
    Ok(Http { task })
}

async fn serve(stream: TcpStream, router: Router) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().keep_alive(false).timer(TokioTimer::new()).header_read_timeout(ASKING);
    // Fails where the client goes away, or makes no sense.
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

type Page = (StatusCode, [(&'static str, &'static str); 1], String);

fn page(status: StatusCode, text: impl Into<String>) -> Page {
    (status, [("content-type", "text/plain; version=0.0.4; charset=utf-8")], text.into())
}

async fn ask<T>(probes: mpsc::Sender<Probe>, probe: impl FnOnce(oneshot::Sender<T>) -> Probe) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    probes.send(probe(answer)).await.ok()?;
    answered.await.ok()
}

async fn serve_metrics(probes: mpsc::Sender<Probe>) -> Page {
    match ask(probes, Probe::Metrics).await {
        Some(text) => page(StatusCode::OK, text),
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
