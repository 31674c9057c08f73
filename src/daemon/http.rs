//! `/metrics`, `/healthz` and `/readyz` on `http_listen`.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::{mpsc, oneshot};

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
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let (metrics, ready) = (probes.clone(), probes.clone());
    let router = Router::new()
        .route("/metrics", get(move || serve_metrics(metrics)))
        .route("/readyz", get(move || serve_ready(ready)))
        .route("/healthz", get(move || serve_health(probes)));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the listener on {listen} ended: {error}");
        }
    });
    Ok(Http { task })
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
