//! `check --online`: asks every server of every store, and reads every watched key with the store's user.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;

use crate::config::{LoadedWatch, Loader, Problem};
use crate::log::escape;
use crate::store::{Access, Store, StoreError, StoreSpec, StoreUrl, Subscribe, Subscription, Update};
use crate::watch::{Detail, StoreName};

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    /// A line for each key that could be read.
    pub(super) notes: Vec<String>,
}

/// Asks all stores at once. The limit is for the servers of a store, and then again for its keys.
pub(super) async fn ask(loader: &mut Loader, limit: Duration) -> Found {
    let Some(settings) = loader.settings().cloned() else { return Found::default() };
    let watches: Vec<LoadedWatch> =
        loader.watches().values().filter(|watch| watch.spec.enabled).cloned().collect();
    let mut asked = Vec::new();
    for (name, spec) in &settings.stores {
        let mine: Vec<&LoadedWatch> =
            watches.iter().filter(|watch| watch.spec.target.store == *name).collect();
        let (file, place) = loader.store_place(name);
        if place.is_none() && mine.is_empty() {
            // It exists without being written down, and nobody uses it.
            continue;
        }
        let problem = move |message: String| Problem::of_file(&file, message, "").without_help().at(place);
        asked.push(ask_store(name, spec, mine, problem, limit));
    }
    join_all(asked).await.into_iter().fold(Found::default(), |mut all, found| {
        all.problems.extend(found.problems);
        all.notes.extend(found.notes);
        all
    })
}

async fn ask_store(
    name: &StoreName,
    spec: &StoreSpec,
    watches: Vec<&LoadedWatch>,
    problem: impl Fn(String) -> Problem,
    limit: Duration,
) -> Found {
    let servers = servers(spec);
    let answers = join_all(servers.iter().map(|server| answer(server, limit))).await;
    let dead: Vec<(&Server, String)> = servers
        .iter()
        .zip(&answers)
        .filter_map(|(server, answer)| Some((server, answer.as_ref().err()?.to_string())))
        .collect();
    let living: Vec<&Server> =
        servers.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(server, _)| server).collect();
    let mut found = Found::default();
    if living.is_empty() {
        found.problems.extend(all_dead(name, &dead).into_iter().map(problem));
        return found;
    }
    for (server, why) in &dead {
        let message = format!(
            "store `{name}`: {}; {} of {} servers work",
            server.says(why),
            living.len(),
            servers.len()
        );
        found.problems.push(problem(message).into_warning());
    }
    let store = Store::open(only(spec, &living));
    let subscribed = watches.into_iter().map(|watch| (watch, subscribe(&store, watch)));
    let read = join_all(subscribed.map(|(watch, subscription)| read(watch, subscription, limit)));
    for answer in read.await {
        match answer {
            Ok(note) => found.notes.push(note),
            Err(problem) => found.problems.push(*problem),
        }
    }
    found
}

/// One server of a store.
struct Server {
    /// `host:port`, or the directory.
    name: String,
    /// A store of it alone.
    spec: StoreSpec,
}

impl Server {
    /// An error with the server's name, if that is not in it.
    fn says(&self, why: &str) -> String {
        if why.contains(&self.name) { why.to_owned() } else { format!("{}: {why}", self.name) }
    }
}

fn servers(spec: &StoreSpec) -> Vec<Server> {
    let alone =
        |name: &String, url: StoreUrl| Server { name: name.clone(), spec: StoreSpec { url, ..spec.clone() } };
    match &spec.url {
        StoreUrl::Etcd { endpoints, prefix, tls } => endpoints
            .iter()
            .map(|name| {
                alone(
                    name,
                    StoreUrl::Etcd { endpoints: vec![name.clone()], prefix: prefix.clone(), tls: *tls },
                )
            })
            .collect(),
        StoreUrl::ZooKeeper { servers, chroot, tls } => servers
            .iter()
            .map(|name| {
                alone(
                    name,
                    StoreUrl::ZooKeeper { servers: vec![name.clone()], chroot: chroot.clone(), tls: *tls },
                )
            })
            .collect(),
        StoreUrl::Dir { root } => vec![alone(&root.display().to_string(), spec.url.clone())],
    }
}

/// The store with these servers only.
fn only(spec: &StoreSpec, living: &[&Server]) -> StoreSpec {
    let names = || living.iter().map(|server| server.name.clone()).collect();
    let url = match &spec.url {
        StoreUrl::Etcd { prefix, tls, .. } => {
            StoreUrl::Etcd { endpoints: names(), prefix: prefix.clone(), tls: *tls }
        }
        StoreUrl::ZooKeeper { chroot, tls, .. } => {
            StoreUrl::ZooKeeper { servers: names(), chroot: chroot.clone(), tls: *tls }
        }
        StoreUrl::Dir { root } => StoreUrl::Dir { root: root.clone() },
    };
    StoreSpec { url, ..spec.clone() }
}

/// Connects, with TLS and as the store's user.
async fn answer(server: &Server, limit: Duration) -> Result<(), StoreError> {
    let connecting = async {
        let access = Access::open(&server.spec, limit).await?;
        access.has_root(false).await
    };
    let late = || StoreError::Unavailable {
        what: format!("connect to {}", server.name),
        why: format!("no answer within {}", crate::store::error::time(limit)),
    };
    // Connecting has the same limit, and then some time to find out what listens there.
    tokio::time::timeout(limit + Duration::from_secs(3), connecting).await.unwrap_or_else(|_| Err(late()))
}

/// Messages for a store without a server that works: one, where all say the same.
fn all_dead(name: &StoreName, dead: &[(&Server, String)]) -> Vec<String> {
    let alike = |(server, why): &(&Server, String)| why.replace(&server.name, "");
    let first = dead.first().map(alike);
    match dead {
        [(first_server, why), _, ..] if dead.iter().map(alike).all(|why| Some(why) == first) => {
            vec![format!(
                "store `{name}`: none of its {} servers works: {}",
                dead.len(),
                first_server.says(why)
            )]
        }
        _ => dead.iter().map(|(server, why)| format!("store `{name}`: {}", server.says(why))).collect(),
    }
}

fn subscribe(store: &Store, watch: &LoadedWatch) -> Subscription {
    let target = &watch.spec.target;
    store.subscribe(Subscribe {
        key: target.key.clone(),
        watch_type: target.watch_type,
        // As the daemon does: a value may be forbidden where its version is not.
        detail: Detail::Values,
        every: false,
        verify_interval: watch.spec.verify_interval,
    })
}

/// Waits until the key has been read, or is refused.
async fn read(
    watch: &LoadedWatch,
    mut subscription: Subscription,
    limit: Duration,
) -> Result<String, Box<Problem>> {
    let (name, target) = (&watch.spec.name, &watch.spec.target);
    let seen = std::future::poll_fn(|context| {
        if let Poll::Ready(update) = subscription.poll_next(context) {
            return Poll::Ready(Ok(update));
        }
        let freshness = subscription.freshness();
        match freshness.error.filter(|_| freshness.connected) {
            Some(refused) => Poll::Ready(Err(refused)),
            None => Poll::Pending,
        }
    });
    let seen: Result<Update, String> = match tokio::time::timeout(limit, seen).await {
        Ok(seen) => seen,
        Err(_) => Err(subscription
            .freshness()
            .error
            .unwrap_or_else(|| format!("no answer within {}", crate::store::error::time(limit)))),
    };
    match seen {
        Ok(update) if update.state.content.is_absent() => {
            Ok(shown(&format!("{name}: {} does not exist in store {} yet", target.key, target.store)))
        }
        Ok(update) => Ok(shown(&format!("{name}: {} is at version {}", target.key, update.state.version))),
        Err(why) => {
            let message = shown(&format!(
                "watch `{name}` cannot read {} in store `{}`: {why}",
                target.key, target.store
            ));
            let file = Arc::clone(&watch.file);
            Err(Box::new(Problem::of_file(&file, message, "").without_help().at(Some(watch.place))))
        }
    }
}

fn shown(text: &str) -> String {
    escape::line(text.as_bytes())
}
