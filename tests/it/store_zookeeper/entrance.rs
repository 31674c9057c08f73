//! Authentication: digests and ACLs, certificates.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use twitcher::internals::store::session::TargetId;
use twitcher::internals::store::{Credentials, StoreSpec, StoreUrl, Tls, zookeeper};
use twitcher::watch::Key;
use twitcher::watch::WatchType::{Data, Tree};
use zookeeper_client::{Acls, Client, CreateMode};

use super::open;
use crate::fixture::conversation::{arm, tree, value};
use crate::fixture::port::Port;
use crate::fixture::zookeeper::{OPEN, ZooKeeper};
use crate::store_etcd::tls;

fn with_digest(mut spec: StoreSpec, file: &Path) -> StoreSpec {
    spec.credentials = Some(Credentials::Digest { digest_file: file.to_owned() });
    spec
}

#[tokio::test]
async fn a_denied_node_is_refused_and_affects_no_other() {
    let server = ZooKeeper::start();
    let owner =
        Client::connector().with_auth("digest", b"me:secret").connect(&server.address()).await.unwrap();
    owner.create("/open", b"o", &OPEN).await.unwrap();
    let private = CreateMode::Persistent.with_acls(Acls::creator_all());
    owner.create("/private", b"p", &private).await.unwrap();
    let mut seen = open(&server.spec(""));
    seen.arm(vec![
        arm(1, "/private", Data),
        arm(2, "/open", Data),
        arm(3, "/", Tree),
        arm(4, "/private", Tree),
    ]);
    seen.until_is(2, &value("o")).await;
    seen.until("the private ones are refused", |seen| seen.refused.len() == 3).await;
    let refused = seen.refused[&TargetId(1)].to_string();
    assert!(refused.contains("/private") && refused.contains("not authorized"), "{refused}");
    owner.set_data("/open", b"still watched", None).await.unwrap();
    seen.until_is(2, &value("still watched")).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digest");
    fs::write(&file, "me:secret\n").unwrap();
    let spec = with_digest(server.spec(""), &file);
    let mut seen = open(&spec);
    seen.arm(vec![arm(1, "/private", Data), arm(2, "/private", Tree)]);
    seen.until_is(1, &value("p")).await;
    seen.until_is(2, &tree(&[("", Some("p"))])).await;
    let access = zookeeper::Access::open(&spec, Duration::from_secs(30)).await.unwrap();
    let entry = access.get(&Key::new("/private").unwrap()).await.unwrap().unwrap();
    assert_eq!(entry.value, Some("p".into()));
}

#[tokio::test]
async fn unusable_credential_files_are_named() {
    let server = ZooKeeper::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digest");
    let mut lost = open(&with_digest(server.spec(""), &file));
    lost.until("the loss", |seen| seen.lost.is_some()).await;
    assert!(lost.lost.unwrap().to_string().contains(&file.display().to_string()));
    fs::write(&file, "no colon").unwrap();
    let mut lost = open(&with_digest(server.spec(""), &file));
    lost.until("the loss", |seen| seen.lost.is_some()).await;
    let why = lost.lost.unwrap().to_string();
    assert!(why.contains("user:password") && !why.contains("no colon"), "{why}");
}

/// An authority's certificate, and for one name a key with its certificate, as PEM files.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let cert = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
            fs::write(folder.path().join(format!("{name}.pem")), cert.pem()).unwrap();
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
            let both = format!("{}{}", key.serialize_pem(), cert.pem());
            fs::write(folder.path().join(format!("{name}.both.pem")), both).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test]
async fn both_sides_of_tls_verify_certificates() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let port = Port::claim();
    let server = ZooKeeper::start_with(&[
        format!("secureClientPort={port}"),
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
        format!("ssl.keyStore.location={}", certificates.path("server.both.pem").display()),
        "ssl.keyStore.type=PEM".to_owned(),
        format!("ssl.trustStore.location={}", certificates.path("ca.pem").display()),
        "ssl.trustStore.type=PEM".to_owned(),
        "ssl.clientAuth=need".to_owned(),
    ]);
    server.client().await.create("/a", b"secret", &OPEN).await.unwrap();
    let store = |host: &str, tls: Tls| {
        let servers = vec![format!("{host}:{port}")];
        let url = StoreUrl::ZooKeeper { servers, chroot: String::new(), tls: true };
        let mut spec = StoreSpec::new(server.spec("").name, url);
        spec.tls = Some(tls);
        spec.session_timeout = Duration::from_secs(5);
        spec
    };
    let good = tls(
        &certificates.path("ca.pem"),
        Some((&certificates.path("client.pem"), &certificates.path("client.key"))),
    );
    let changed = |change: &dyn Fn(&mut Tls)| {
        let mut tls = good.clone();
        change(&mut tls);
        tls
    };
    // The connection that succeeds has time; only those that are refused need a short timeout.
    let mut patient = store("127.0.0.1", good.clone());
    patient.session_timeout = Duration::from_mins(1);
    let mut seen = open(&patient);
    seen.arm(vec![arm(1, "/a", Data)]);
    seen.until_is(1, &value("secret")).await;
    let wrong = [
        changed(&|tls| tls.ca = Some(others.path("ca.pem"))),
        changed(&|tls| (tls.cert, tls.key) = (None, None)),
        changed(&|tls| {
            (tls.cert, tls.key) = (Some(others.path("client.pem")), Some(others.path("client.key")));
        }),
        changed(&|tls| tls.key = None),
        changed(&|tls| tls.ca = Some(certificates.path("missing.pem"))),
        changed(&|tls| tls.server_name = Some("other.example".to_owned())),
    ];
    for tls in wrong {
        let mut seen = open(&store("127.0.0.1", tls.clone()));
        seen.until("the loss", |seen| seen.lost.is_some() || seen.ready).await;
        assert!(!seen.ready, "{tls:?} let us in");
    }
}
