//! `twitcher check --online`: against real servers, dead ones, and ones that are something else.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use etcd_client::Permission;
use zookeeper_client::{Acls, Client, CreateMode};

use super::{GOOD, Site};
use crate::fixture::certificates::Certificates;
use crate::fixture::etcd::Etcd;
use crate::fixture::port::Port;
use crate::fixture::zookeeper::ZooKeeper;

fn conf(url: &str, more: &str) -> String {
    format!("default_store = 'main'\n[store.main]\nurl = '{url}'\n{more}")
}

fn site(url: &str, more: &str) -> Site {
    Site::new(&[("twitcher.conf", &conf(url, more)), ("a.toml", GOOD)])
}

#[test]
fn a_dead_server_among_others_is_named() {
    let (etcd, dead) = (Etcd::start(), Port::claim());
    let site = site(&format!("etcd://127.0.0.1:{dead},127.0.0.1:{}", etcd.port()), "");
    let (told, code) = site.check(&["--online"]);
    assert!(told.contains("twitcher.conf:3:7: warning: store `main`: "), "{told}");
    assert!(told.contains(&format!(" 127.0.0.1:{dead}: ")) && told.contains("1 of 2 servers work"), "{told}");
    assert!(told.ends_with("\n2 files, 1 watch: 1 warning\n"), "{told}");
    assert_eq!((code, site.check(&["--online", "--strict"]).1), (Some(0), Some(1)));

    let zookeeper = ZooKeeper::start();
    site.write("twitcher.conf", &conf(&format!("zookeeper://127.0.0.1:{dead},{}", zookeeper.address()), ""));
    let (told, code) = site.check(&["--online"]);
    assert!(
        told.contains(&format!("connect to 127.0.0.1:{dead}: ")) && told.contains("1 of 2 servers work"),
        "{told}"
    );
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_store_that_is_not_there_is_one_error_within_its_time() {
    let (dead, other) = (Port::claim(), Port::claim());
    let site = site(&format!("etcd://127.0.0.1:{dead},127.0.0.1:{other}"), "");
    let (told, code) = site.check(&["--online"]);
    assert!(told.contains("error: store `main`: none of its 2 servers works: "), "{told}");
    assert!(told.ends_with("\n2 files, 1 watch: 1 error\n"), "{told}");
    assert_eq!(code, Some(1));
    // One that accepts and says nothing costs the deadline and no more.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for scheme in ["etcd", "etcd+tls", "zookeeper"] {
        site.write("twitcher.conf", &conf(&format!("{scheme}://{}", silent.local_addr().unwrap()), ""));
        let began = Instant::now();
        let (told, code) = site.check(&["--online", "--timeout", "2s"]);
        assert!(began.elapsed() < Duration::from_secs(30), "{told}");
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(&silent.local_addr().unwrap().to_string()), "{told}");
    }
}

#[test]
fn what_is_there_is_shown_on_demand() {
    let etcd = Etcd::start();
    let site = site(&etcd.url(), "");
    assert_eq!(site.check(&["--online"]).0, "2 files, 1 watch: no problems\n");
    assert!(site.check(&["--online", "-v"]).0.contains("a: /a does not exist in store main yet\n"));
    crate::fixture::program::good(&etcd.url(), &["put", "/a", "x"]);
    assert!(site.check(&["--online", "-v"]).0.contains("a: /a is at version 2\n"));
    let json: serde_json::Value = serde_json::from_str(&site.check(&["--online", "--json"]).0).unwrap();
    assert_eq!(json["errors"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_and_its_rights_in_etcd_are_tried() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    client.user_add("root", "secret", None).await.unwrap();
    client.role_add("root").await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.user_add("reader", "word", None).await.unwrap();
    client.role_add("app").await.unwrap();
    client.role_grant_permission("app", Permission::read("/a")).await.unwrap();
    client.user_grant_role("reader", "app").await.unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("password");
    let user = format!("username = 'reader'\npassword_file = '{}'\n", file.display());
    let write = |password: &str| {
        std::fs::write(&file, password).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("word");
    let site = site(&etcd.url(), &user);
    // A login where nobody can log in.
    let (told, code) = site.check(&["--online"]);
    assert!(told.contains("authentication is not enabled") && told.contains("etcdctl auth enable"), "{told}");
    assert_eq!(code, Some(1));
    client.auth_enable().await.unwrap();
    assert_eq!(site.check(&["--online"]).0, "2 files, 1 watch: no problems\n");

    site.write("b.toml", "[[watch]]\nkey = '/secret'\naction = 'true'\n");
    let (told, code) = site.check(&["--online"]);
    assert!(told.contains("ETC/b.toml:1:1: error: watch `b` cannot read /secret in store `main`"), "{told}");
    assert!(
        told.contains("permission denied") && told.ends_with("\n3 files, 2 watches: 1 error\n"),
        "{told}"
    );
    assert_eq!(code, Some(1));

    write("wrong");
    let (told, _) = site.check(&["--online"]);
    assert!(told.contains("authentication failed") && told.ends_with(": 1 error\n"), "{told}");
    site.write("twitcher.conf", &conf(&etcd.url(), ""));
    let (told, _) = site.check(&["--online"]);
    assert!(told.contains("user name is empty") && told.contains("`username` and `password_file`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_zookeeper_are_tried() {
    let server = ZooKeeper::start();
    let owner =
        Client::connector().with_auth("digest", b"me:secret").connect(&server.address()).await.unwrap();
    owner.create("/a", b"p", &CreateMode::Persistent.with_acls(Acls::creator_all())).await.unwrap();
    let site = site(&server.url(), "");
    let (told, code) = site.check(&["--online"]);
    assert!(told.contains("ETC/a.toml:1:1: error: watch `a` cannot read /a in store `main`"), "{told}");
    assert!(told.contains("not authorized") && told.contains("`digest_file`"), "{told}");
    assert_eq!(code, Some(1));
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("digest");
    std::fs::write(&file, "me:secret\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    site.write("twitcher.conf", &conf(&server.url(), &format!("digest_file = '{}'\n", file.display())));
    assert_eq!(site.check(&["--online"]).0, "2 files, 1 watch: no problems\n");
}

#[test]
fn a_directory_is_asked_too() {
    let place = tempfile::tempdir().unwrap();
    let site = site(&format!("dir://{}", place.path().display()), "");
    assert_eq!(site.check(&["--online"]).0, "2 files, 1 watch: no problems\n");
    site.write("twitcher.conf", &conf("dir:///no/such/place", ""));
    let (told, code) = site.check(&["--online"]);
    assert!(told.contains("error: store `main`: ") && told.contains("/no/such/place"), "{told}");
    assert_eq!(code, Some(1));
}

/// A port that is another server's: what is there is told, with the URL that fits it.
#[test]
fn what_is_there_instead_is_told() {
    let certificates = Certificates::new("etcd.example", "twitcher");
    let path = |file: std::path::PathBuf| file.to_str().unwrap().to_owned();
    let secure = Etcd::start_with(&[
        &format!("--cert-file={}", path(certificates.cert("server"))),
        &format!("--key-file={}", path(certificates.key("server"))),
    ]);
    let (etcd, zookeeper) = (Etcd::start(), ZooKeeper::start());
    let proxy = proxy();
    let (plain, tls, zk) =
        (format!("127.0.0.1:{}", etcd.port()), format!("127.0.0.1:{}", secure.port()), zookeeper.address());
    for (url, told) in [
        (format!("etcd://{tls}/prod"), format!("the server speaks TLS: write `etcd+tls://{tls}/prod`")),
        (format!("etcd+tls://{plain}"), format!("the server does not speak TLS: write `etcd://{plain}`")),
        (
            format!("etcd://{zk}"),
            format!("a ZooKeeper server answers there, not etcd: write `zookeeper://{zk}`"),
        ),
        (
            format!("etcd+tls://{zk}"),
            format!("a ZooKeeper server answers there, not etcd: write `zookeeper://{zk}`"),
        ),
        (
            format!("zookeeper://{plain}"),
            format!("an etcd answers there, not ZooKeeper: write `etcd://{plain}`"),
        ),
        (format!("zookeeper://{tls}"), format!("the server speaks TLS: write `zookeeper+tls://{tls}`")),
        (format!("zookeeper+tls://{zk}"), format!("the server does not speak TLS: write `zookeeper://{zk}`")),
        (
            format!("etcd://{proxy}"),
            "an HTTP server answers there (404 Not Found, nginx), not etcd".to_owned(),
        ),
    ] {
        let site = site(&url, "");
        let (found, code) = site.check(&["--online"]);
        assert!(found.contains(&told), "{url}: {found}");
        assert!(found.ends_with("\n2 files, 1 watch: 1 error\n"), "{url}: {found}");
        assert_eq!(code, Some(1));
        // The same for single commands.
        let output = crate::fixture::program::run(&url, &["get", "/a"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(&told), "{url}: {errors}");
    }
}

/// A web server that finds nothing.
fn proxy() -> String {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let body = "<html>404 Not Found</html>";
                let _ = write!(
                    stream,
                    "HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            });
        }
    });
    address
}
