//! `/fleet`: reads each group from its store at most once in five seconds, for all visitors together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::page::{self, GroupPage, HOSTS};
use super::probe::{GroupPlace, Probe, ask};
use crate::daemon::fleet::read_group;
use crate::fleet::GroupName;
use crate::fleet::picture::Picture;
use crate::fleet::report::GroupStatus;

/// How long a group's page is reused.
const AGE: Duration = Duration::from_secs(5);

/// What was read of a group, or why it could not be read.
type Read = Result<Arc<GroupPage>, String>;

/// The last reading of a group and when it was made. The lock is held while the group is read.
type Last = Arc<Mutex<Option<(Instant, Read)>>>;

/// The page of the fleets.
#[derive(Clone)]
pub(super) struct Fleets {
    probes: mpsc::Sender<Probe>,
    read: Arc<Mutex<HashMap<(String, GroupName), Last>>>,
}

impl Fleets {
    pub(super) fn new(probes: mpsc::Sender<Probe>) -> Self {
        Self { probes, read: Arc::default() }
    }

    /// The groups of this host; `None` where the page is not served.
    async fn places(&self) -> Option<Vec<GroupPlace>> {
        ask(self.probes.clone(), Probe::Fleets).await?
    }

    async fn group(&self, place: &GroupPlace) -> Read {
        let id = (place.store.spec().name.to_string(), place.name.clone());
        let last = Arc::clone(self.read.lock().await.entry(id).or_default());
        let mut last = last.lock().await;
        if let Some((at, read)) = last.as_ref()
            && at.elapsed() < AGE
        {
            return read.clone();
        }
        let read = read(place).await;
        *last = Some((Instant::now(), read.clone()));
        read
    }

    /// `/fleet`.
    pub(super) async fn index(self) -> Response {
        let Some(places) = self.places().await else { return not_found() };
        let (mut groups, mut unread): (Vec<GroupStatus>, _) = (Vec::new(), Vec::new());
        // Concurrently: each may take the whole time limit of its store, and `VISIT` limits the connection.
        let read = join_all(places.iter().map(|place| self.group(place))).await;
        for (place, read) in places.iter().zip(read) {
            match read {
                Ok(page) => groups.push(page.status.clone()),
                Err(why) => unread.push((place.name.to_string(), why)),
            }
        }
        html(StatusCode::OK, page::index(&groups, &unread, jiff::Timestamp::now()))
    }

    /// `/fleet/GROUP` and `/fleet/GROUP.json`.
    pub(super) async fn one(self, Path(named): Path<String>) -> Response {
        let Some(places) = self.places().await else { return not_found() };
        let find = |named: &str| places.iter().find(|place| place.name.to_string() == named);
        let bare = named.strip_suffix(".json");
        let (place, json) = match (find(&named), bare.and_then(find)) {
            (Some(place), _) => (place, false),
            (None, Some(place)) => (place, true),
            (None, None) => return not_found(),
        };
        match self.group(place).await {
            Ok(page) if json => {
                let text = serde_json::to_string(&page.status).unwrap_or_default() + "\n";
                respond(StatusCode::OK, "application/json", text)
            }
            Ok(page) => html(StatusCode::OK, page::group(&page, jiff::Timestamp::now())),
            Err(why) => respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", why + "\n"),
        }
    }
}

async fn read(place: &GroupPlace) -> Read {
    let store = &place.store.spec().name;
    let entries = read_group(&place.store, &place.keys)
        .await
        .map_err(|error| format!("cannot read the fleet's keys in store {store}: {error}"))?;
    let picture = Picture::new(place.name.clone(), &entries);
    let mut hosts = picture.hosts(true);
    hosts.retain(|host| !matches!(host.state, "converged" | "hold"));
    let more = hosts.len().saturating_sub(HOSTS);
    hosts.truncate(HOSTS);
    let status = picture.status(store.as_str());
    Ok(Arc::new(GroupPage { status, bars: picture.bars(), hosts, more }))
}

fn not_found() -> Response {
    respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "not found\n".to_owned())
}

fn html(status: StatusCode, text: String) -> Response {
    respond(status, "text/html; charset=utf-8", text)
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::GroupKeys;
    use crate::store::{Store, StoreSpec, StoreUrl};
    use crate::watch::{Key, StoreName};

    #[tokio::test(start_paused = true)]
    async fn the_index_waits_once_for_stores_that_do_not_answer() {
        // The kernel accepts the connections, and no server answers.
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("etcd://{}", silent.local_addr().unwrap()).parse::<StoreUrl>().unwrap();
        let place = |number: usize| {
            let spec = StoreSpec::new(StoreName::new(&format!("s{number}")).unwrap(), url.clone());
            let name = GroupName::new("git").unwrap();
            let keys = GroupKeys::new(&Key::new("/fleet").unwrap(), &name).unwrap();
            GroupPlace { name, store: Store::open(spec), keys }
        };
        let places: Vec<_> = (0..8).map(place).collect();
        let (probes, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(probe) = asked.recv().await {
                if let Probe::Fleets(answer) = probe {
                    answer.send(Some(places.clone())).unwrap();
                }
            }
        });
        let begun = Instant::now();
        let response = Fleets::new(probes).index().await;
        // Each of them may take 5 s.
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(body.matches("cannot read").count(), 8, "{body}");
    }
}
