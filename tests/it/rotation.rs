//! What changes around a running daemon: certificates on disk, and the addresses of server names. No restart, no reload, no
//! disconnect.

use std::path::Path;

use twitcher::internals::store::{Access, StoreSpec, StoreUrl, Tls};
use twitcher::store::Condition;
use twitcher::watch::{Key, StoreName};

use crate::fixture::certificates::Certificates;
use crate::fixture::daemon::Daemon;
use crate::fixture::etcd::Etcd;
use crate::fixture::port::Port;
use crate::fixture::server::LONG;
use crate::fixture::zookeeper::ZooKeeper;

/// Writes with the server's own certificate, which stays as it is.
fn put(url: &StoreUrl, certificates: &Certificates, value: &str) {
    let mut tls = Tls::default();
    tls.ca = Some(certificates.ca());
    (tls.cert, tls.key) = (Some(certificates.cert("server")), Some(certificates.key("server")));
    let mut spec = StoreSpec::new(StoreName::new("writer").unwrap(), url.clone());
    spec.tls = Some(tls);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let access = Access::open(&spec, LONG).await.unwrap();
        access.put(&Key::new("/a").unwrap(), value.to_owned().into(), Condition::Any).await.unwrap();
    });
}

fn rotate(url: &StoreUrl, certificates: &Certificates) {
    let path = |file: &Path| file.display().to_string();
    put(url, certificates, "1");
    let daemon = Daemon::start(
        &format!(
            "default_store = 'main'\n[store.main]\nurl = '{url}'\n[store.main.tls]\nca = '{}'\ncert = '{}'\nkey = '{}'\n",
            path(&certificates.ca()),
            path(&certificates.cert("client")),
            path(&certificates.key("client"))
        ),
        &[("a.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n")],
    );
    let mut runs = 0;
    let mut applies = |value: &str| {
        if value != "1" {
            put(url, certificates, value);
        }
        runs += 1;
        daemon.until_runs("a", runs);
        daemon.until_converged("a");
    };
    applies("1");

    let good = std::fs::read_to_string(certificates.cert("client")).unwrap();
    certificates.replace(&certificates.cert("client"), "no certificate");
    daemon.until_file("log", |log| log.contains("the certificates on disk cannot be used"));
    applies("2");

    // Valid, and of an authority that the server does not know.
    let stranger = Certificates::new("other.example", "other");
    for of in [Certificates::cert, Certificates::key] {
        let text = std::fs::read_to_string(of(&stranger, "client")).unwrap();
        certificates.replace(&of(certificates, "client"), &text);
    }
    daemon.until_file("log", |log| log.contains("no connection can be made with the new ones"));
    applies("3");
    assert!(!daemon.log().contains("connected with the new ones"), "{}", daemon.log());

    certificates.issue_client("twitcher");
    assert_ne!(std::fs::read_to_string(certificates.cert("client")).unwrap(), good);
    let log = daemon.until_file("log", |log| log.contains("connected with the new ones"));
    applies("4");
    // Each is said once, and nothing was ever down.
    for said in ["the certificates on disk cannot be used", "no connection can be made with the new ones"] {
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
    assert!(!daemon.log().contains("the store cannot be reached"), "{}", daemon.log());
}

#[test]
fn etcd_is_connected_with_replaced_certificates_without_a_disconnect() {
    let certificates = Certificates::new("etcd.example", "twitcher");
    let path = |file: std::path::PathBuf| file.to_str().unwrap().to_owned();
    let etcd = Etcd::start_with(&[
        &format!("--cert-file={}", path(certificates.cert("server"))),
        &format!("--key-file={}", path(certificates.key("server"))),
        &format!("--trusted-ca-file={}", path(certificates.ca())),
        "--client-cert-auth",
    ]);
    let endpoints = vec![format!("127.0.0.1:{}", etcd.port())];
    rotate(&StoreUrl::Etcd { endpoints, prefix: String::new(), tls: true }, &certificates);
}

#[test]
fn zookeeper_is_connected_with_replaced_certificates_without_a_disconnect() {
    let certificates = Certificates::new("localhost", "twitcher");
    let read = |file| std::fs::read_to_string(file).unwrap();
    let both = format!("{}{}", read(certificates.key("server")), read(certificates.cert("server")));
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("both.pem");
    std::fs::write(&store, both).unwrap();
    let port = Port::claim();
    let _server = ZooKeeper::start_with(&[
        format!("secureClientPort={port}"),
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
        format!("ssl.keyStore.location={}", store.display()),
        "ssl.keyStore.type=PEM".to_owned(),
        format!("ssl.trustStore.location={}", certificates.ca().display()),
        "ssl.trustStore.type=PEM".to_owned(),
        "ssl.clientAuth=need".to_owned(),
    ]);
    let servers = vec![format!("127.0.0.1:{port}")];
    rotate(&StoreUrl::ZooKeeper { servers, chroot: String::new(), tls: true }, &certificates);
}

/// The server's name gets its address while the daemon runs, in a mount namespace of its own.
#[test]
fn names_of_servers_are_resolved_at_each_attempt_to_connect() {
    let (etcd, zookeeper) = (Etcd::start(), ZooKeeper::start());
    let mut daemon = Daemon::prepare(&format!(
        "[store.etcd]\nurl = 'etcd://moving.test:{}'\n[store.zk]\nurl = 'zookeeper://moving.test:{}'\n",
        etcd.port(),
        zookeeper.port()
    ));
    for store in ["etcd", "zk"] {
        daemon.write(
            &format!("{store}.toml"),
            &format!("[[watch]]\nkey = '/a'\nstore = '{store}'\naction = 'true'\n"),
        );
    }
    let hosts = daemon.path("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    daemon.run_through(&["unshare", "--mount", "sh", "-c", &mount, "sh"]);
    for store in ["etcd", "zk"] {
        daemon.until_watch(store, |watch| {
            watch["error"].as_str().is_some_and(|why| why.contains("moving.test"))
        });
    }
    // In place: a bind mount shows the file, not its name.
    std::fs::write(&hosts, "127.0.0.1 localhost moving.test\n").unwrap();
    for store in ["etcd", "zk"] {
        daemon.until_converged(store);
    }
}
