//! Authentication and permissions: users, expiring tokens, certificates.

use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Permission, PermissionType};
use tempfile::TempDir;
use twitcher::internals::store::etcd::{Begin, History, Told};
use twitcher::internals::store::{Access, Store, StoreError, StoreUrl, Subscribe};
use twitcher::store::Condition;
use twitcher::watch::WatchType;

use super::basics::put;
use super::{children, data, down, key, password, show, spec, subscribe, tls, tree};
use crate::fixture::certificates::Certificates;
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;
use crate::fixture::server::LONG;

/// A member with users: `root`, and `reader`, who may read `/k`, `/app/` and everything below.
struct Guarded {
    etcd: Etcd,
    root: Client,
    dir: TempDir,
}

async fn guarded(token_seconds: u32) -> Guarded {
    let etcd = Etcd::start_with(&[&format!("--auth-token-ttl={token_seconds}")]);
    let mut client = etcd.client().await;
    client.user_add("root", "secret", None).await.unwrap();
    client.role_add("root").await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.user_add("reader", "pass word", None).await.unwrap();
    client.role_add("app").await.unwrap();
    client.role_grant_permission("app", Permission::read("/app/").with_prefix()).await.unwrap();
    client.role_grant_permission("app", Permission::read("/app")).await.unwrap();
    client.role_grant_permission("app", Permission::read("/k")).await.unwrap();
    client.user_grant_role("reader", "app").await.unwrap();
    client.auth_enable().await.unwrap();
    let options = ConnectOptions::new().with_user("root", "secret").with_auto_token_refresh(true);
    let root = etcd.client_with(options).await;
    Guarded { etcd, root, dir: tempfile::tempdir().unwrap() }
}

impl Guarded {
    fn password_file(&self, password: &str) -> PathBuf {
        let file = self.dir.path().join("password");
        std::fs::write(&file, password).unwrap();
        file
    }

    fn store(&self) -> Store {
        let mut spec = spec(&[self.etcd.port()], "");
        spec.credentials = Some(password("reader", &self.password_file("pass word\n")));
        Store::open(spec)
    }
}

#[tokio::test]
async fn one_forbidden_key_is_refused_and_affects_no_other() {
    let mut guarded = guarded(300).await;
    let store = guarded.store();
    let mut allowed: Vec<_> = (0..300).map(|number| data(&store, &format!("/app/{number}"))).collect();
    let mut forbidden = data(&store, "/secret");
    let forbidden_tree = tree(&store, "/");
    let mut below = tree(&store, "/app");
    for seen in &mut allowed {
        seen.until("-").await;
    }
    below.until("-").await;
    let error = forbidden.error().await;
    assert!(error.contains("/secret") && error.contains("permission denied"), "{error}");
    assert!(forbidden_tree.error().await.contains("everything below /"));
    put(&mut guarded.root, "/app/7", "x").await;
    put(&mut guarded.root, "/secret", "s").await;
    allowed[7].until("x").await;
    below.until("7=x").await;
    assert_eq!(store.health().borrow().reconnects, 0);

    let permission = Permission::new(PermissionType::Read, "/secret");
    guarded.root.role_grant_permission("app", permission).await.unwrap();
    forbidden.until("s").await;
    forbidden.no_error().await;
    put(&mut guarded.root, "/app", "seen through two watches").await;
    below.until("=seen through two watches 7=x").await;
}

/// The usual role, `--prefix /t/`, covers everything below `/t` and not the key `/t` itself.
#[tokio::test]
async fn a_role_on_a_prefix_can_read_the_tree_of_that_prefix() {
    let mut guarded = guarded(300).await;
    guarded.root.role_grant_permission("app", Permission::read("/t/").with_prefix()).await.unwrap();
    put(&mut guarded.root, "/t", "not for this user").await;
    let store = guarded.store();
    let mut below = tree(&store, "/t");
    below.until("-").await;
    put(&mut guarded.root, "/t/a", "1").await;
    below.until("a=1").await;
    put(&mut guarded.root, "/t-beside", "x").await;
    put(&mut guarded.root, "/t", "again").await;
    put(&mut guarded.root, "/t/b", "2").await;
    below.until("a=1 b=2").await;
    assert_eq!(below.subscription().freshness().error, None);

    let access = Access::open(store.spec(), LONG).await.unwrap();
    let listing = access.tree(&key("/t")).await.unwrap();
    assert_eq!(listing.entries.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(access.children(&key("/t")).await.unwrap().unwrap(), ["a", "b"]);
    assert_eq!(access.children(&key("/t/none")).await.unwrap(), None);
    let denied = access.get(&key("/t")).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
    let mut history = History::new(store.spec(), &key("/t"), Begin::At(1)).unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        match history.next().await.unwrap() {
            Told::Changes(changes) => told.extend(changes.into_iter().map(|change| change.path)),
            Told::Opened { .. } => {}
            other @ (Told::Present | Told::Compacted { .. } | Told::Ahead { .. } | Told::Replaced { .. }) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(told, ["a".into(), "b".into()]);

    // A key that becomes readable belongs to the tree from the next verification on.
    let mut soon = Subscribe::new(key("/t"), WatchType::Tree);
    soon.verify_interval = Duration::from_millis(200);
    let mut seen = subscribe(&store, soon);
    seen.until("a=1 b=2").await;
    guarded.root.role_grant_permission("app", Permission::read("/t")).await.unwrap();
    seen.until("=again a=1 b=2").await;
    put(&mut guarded.root, "/t", "and followed").await;
    seen.until("=and followed a=1 b=2").await;
    assert_eq!(store.health().borrow().reconnects, 0);
}

/// A reconnect resumes the stream where it stopped, with the keys that this user may read.
#[tokio::test]
async fn a_user_with_a_role_on_slash_gets_every_update_below_it() {
    let mut guarded = guarded(300).await;
    guarded.root.role_grant_permission("app", Permission::read("/").with_prefix()).await.unwrap();
    put(&mut guarded.root, "plain", "x").await;
    let proxy = Proxy::start(guarded.etcd.port());
    let mut spec = spec(&[proxy.port()], "");
    spec.credentials = Some(password("reader", &guarded.password_file("pass word")));
    let store = Store::open(spec);
    let mut every = Subscribe::new(key("/"), WatchType::Tree);
    every.every = true;
    let mut seen = subscribe(&store, every);
    seen.until("-").await;
    put(&mut guarded.root, "/n", "0").await;
    seen.until("n=0").await;
    proxy.cut();
    down(&store).await;
    for number in 1..=20 {
        put(&mut guarded.root, "/n", &number.to_string()).await;
        put(&mut guarded.root, "plain", &number.to_string()).await;
    }
    proxy.heal();
    for number in 1..=20 {
        let update = seen.next().await;
        assert_eq!((show(&update.state.content), update.updates), (format!("n={number}"), 1));
    }
}

#[tokio::test]
async fn an_expired_token_is_renewed() {
    let mut guarded = guarded(2).await;
    let store = guarded.store();
    let mut first = data(&store, "/app/1");
    first.until("-").await;
    // Only time expires a token.
    tokio::time::sleep(Duration::from_secs(6)).await;
    put(&mut guarded.root, "/app/1", "x").await;
    first.until("x").await;
    let mut second = data(&store, "/app/2");
    let mut names = children(&store, "/app");
    let mut below = tree(&store, "/app");
    second.until("-").await;
    names.until("1").await;
    below.until("1=x").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    put(&mut guarded.root, "/app/1", "y").await;
    put(&mut guarded.root, "/app/2", "z").await;
    first.until("y").await;
    second.until("z").await;
    names.until("1 2").await;
    below.until("1=y 2=z").await;
    assert_eq!(store.health().borrow().reconnects, 0);
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_a_corrected_file_is_used() {
    let guarded = guarded(300).await;
    let file = guarded.password_file("wrong");
    let mut spec = spec(&[guarded.etcd.port()], "");
    spec.credentials = Some(password("reader", &file));
    let Err(error) = Access::open(&spec, LONG).await else { panic!("a wrong password was accepted") };
    assert!(error.to_string().contains("authentication failed"), "{error}");
    let store = Store::open(spec.clone());
    let mut seen = data(&store, "/k");
    let error = seen.error().await;
    assert!(error.contains("authentication failed") && !error.contains("wrong"), "{error}");
    guarded.password_file("pass word");
    seen.until("-").await;

    std::fs::remove_file(&file).unwrap();
    let Err(error) = Access::open(&spec, LONG).await else { panic!("no password was needed") };
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_missing_login_is_reported() {
    let guarded = guarded(300).await;
    let store = super::store(guarded.etcd.port());
    let seen = data(&store, "/k");
    let error = seen.error().await;
    assert!(error.contains("user name is empty") || error.contains("permission denied"), "{error}");
}

#[tokio::test]
async fn both_sides_verify_certificates() {
    let certificates = Certificates::new("etcd.example", "twitcher");
    let path = |file: PathBuf| file.to_str().unwrap().to_owned();
    let etcd = Etcd::start_with(&[
        &format!("--cert-file={}", path(certificates.cert("server"))),
        &format!("--key-file={}", path(certificates.key("server"))),
        &format!("--trusted-ca-file={}", path(certificates.ca())),
        "--client-cert-auth",
    ]);
    let ca = certificates.ca();
    let (cert, key) = (certificates.cert("client"), certificates.key("client"));
    let endpoints = vec![format!("127.0.0.1:{}", etcd.port())];
    let mut spec = spec(&[], "");
    spec.url = StoreUrl::Etcd { endpoints, prefix: String::new(), tls: true };
    spec.tls = Some(tls(&ca, Some((&cert, &key))));
    let access = Access::open(&spec, LONG).await.unwrap();
    let key = super::key("/n");
    access.put(&key, "1".into(), Condition::Any).await.unwrap();
    let store = Store::open(spec.clone());
    let mut seen = data(&store, "/n");
    seen.until("1").await;
    access.put(&key, "2".into(), Condition::Any).await.unwrap();
    seen.until("2").await;

    let mut named = spec.clone();
    named.tls.as_mut().unwrap().server_name = Some("etcd.example".to_owned());
    Access::open(&named, LONG).await.unwrap();
    named.tls.as_mut().unwrap().server_name = Some("other.example".to_owned());
    assert!(Access::open(&named, Duration::from_secs(20)).await.is_err(), "another server's name");

    let mut anonymous = spec.clone();
    anonymous.tls = Some(tls(&ca, None));
    assert!(Access::open(&anonymous, Duration::from_secs(20)).await.is_err(), "no client certificate");

    let mut stranger = spec.clone();
    let others = Certificates::new("other.example", "other");
    stranger.tls = Some(tls(&others.ca(), None));
    let store = Store::open(stranger);
    let _seen = data(&store, "/n");
    let error = down(&store).await;
    assert!(error.contains("certificate"), "{error}");
}
