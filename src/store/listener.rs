//! What listens at a server's port, found out when a connection fails: the wire's own words ("broken pipe") do not say
//! that the port is another program's.

use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{StoreError, install_crypto};

/// How long all questions may take together.
const PATIENCE: Duration = Duration::from_secs(1);
/// etcd answers this with its version, any other HTTP server with something else.
const HTTP: &[u8] = b"GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n";
/// One of ZooKeeper's four letter words; a server that does not allow it says so.
const ZOOKEEPER: &[u8] = b"srvr";

/// What listens at a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listener {
    /// Something that speaks TLS.
    Tls,
    /// `ZooKeeper` without TLS.
    ZooKeeper,
    /// etcd without TLS.
    Etcd,
    /// Another HTTP server: its status line, and its name.
    Http(String),
}

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Etcd,
    ZooKeeper,
}

/// What a store expects there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) kind: Kind,
    pub(super) tls: bool,
    /// The path of its URL.
    pub(super) path: &'a str,
}

/// A connection that could not be made.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The server sent nothing within the time limit. A server of another kind hangs up; one that keeps silent is most likely
    /// frozen.
    Silent(StoreError),
    /// The server hung up, or answered something else.
    Answered(StoreError),
}

impl From<StoreError> for ConnectError {
    fn from(error: StoreError) -> Self {
        Self::Answered(error)
    }
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Silent(error) | ConnectError::Answered(error) => error,
        }
    }
}

/// The same failure, with what listens at `server` (`host:port`) where that is not what the store expects.
pub(super) async fn explained(error: ConnectError, server: &str, expected: Expected<'_>) -> StoreError {
    match error {
        // Probing a silent server would only take another time limit.
        ConnectError::Silent(error) => error,
        ConnectError::Answered(StoreError::Unavailable { what, why }) => {
            // Boxed: a failure is rare, and its future large.
            let listener = Box::pin(identify(server)).await;
            let told = listener.and_then(|listener| expected.disappointed_by(&listener, server));
            let told = told.or_else(|| {
                let is_http = why.contains("mapped from HTTP status code");
                is_http
                    .then(|| "an HTTP server answers there that does not pass gRPC on to an etcd".to_owned())
            });
            let why = told.map_or(why.clone(), |told| format!("{told} ({why})"));
            StoreError::Unavailable { what, why }
        }
        ConnectError::Answered(
            other @ (StoreError::Unanswered { .. }
            | StoreError::Denied { .. }
            | StoreError::Refused { .. }
            | StoreError::Conflict { .. }
            | StoreError::File { .. }),
        ) => other,
    }
}

impl Expected<'_> {
    /// What is said where something else listens, with the URL that fits it.
    fn disappointed_by(self, listener: &Listener, server: &str) -> Option<String> {
        let (label, own) = match self.kind {
            Kind::Etcd => ("etcd", "etcd"),
            Kind::ZooKeeper => ("ZooKeeper", "zookeeper"),
        };
        let url = |scheme: &str| format!("`{scheme}://{server}{}`", self.path);
        let other =
            |name: &str, scheme: &str| format!("{name} answers there, not {label}: write {}", url(scheme));
        let plain = || format!("the server does not speak TLS: write {}", url(own));
        match (listener, self.kind, self.tls) {
            (Listener::Tls, _, false) => {
                Some(format!("the server speaks TLS: write {}", url(&format!("{own}+tls"))))
            }
            (Listener::Tls, _, true)
            | (Listener::Etcd, Kind::Etcd, false)
            | (Listener::ZooKeeper, Kind::ZooKeeper, false) => None,
            (Listener::Etcd, Kind::Etcd, true) | (Listener::ZooKeeper, Kind::ZooKeeper, true) => {
                Some(plain())
            }
            (Listener::Etcd, Kind::ZooKeeper, _) => Some(other("an etcd", "etcd")),
            (Listener::ZooKeeper, Kind::Etcd, _) => Some(other("a ZooKeeper server", "zookeeper")),
            (Listener::Http(what), _, _) => Some(format!(
                "an HTTP server answers there ({what}), not {label}: is this the right port, and does a proxy pass {} on?",
                if self.kind == Kind::Etcd { "gRPC (HTTP/2)" } else { "TCP" }
            )),
        }
    }
}

/// Asks in each language at once, on a connection of its own.
async fn identify(server: &str) -> Option<Listener> {
    let hello = hello()?;
    let (tls, zookeeper, http) =
        tokio::join!(ask(server, &hello, 3), ask(server, ZOOKEEPER, 64), ask(server, HTTP, 2048));
    recognised(&tls, &zookeeper, &http)
}

/// The begin of a TLS handshake.
fn hello() -> Option<Vec<u8>> {
    install_crypto();
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut connection = ClientConnection::new(config.into(), name).ok()?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).ok()?;
    Some(hello)
}

/// The first bytes of an answer; none where nobody answers.
async fn ask(server: &str, question: &[u8], most: usize) -> Vec<u8> {
    let mut answer = Vec::new();
    let asking = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(question).await?;
        while answer.len() < most && stream.read_buf(&mut answer).await? > 0 {}
        std::io::Result::Ok(())
    };
    // What came before an error or the end of patience counts.
    let _ = tokio::time::timeout(PATIENCE, asking).await;
    answer
}

/// What gives such answers to a TLS handshake, a four letter word and an HTTP request.
fn recognised(tls: &[u8], zookeeper: &[u8], http: &[u8]) -> Option<Listener> {
    // A record of a handshake or an alert, of any version.
    if matches!(tls, [0x15 | 0x16, 0x03, ..]) {
        return Some(Listener::Tls);
    }
    let zookeeper = String::from_utf8_lossy(zookeeper);
    let words = ["Zookeeper version", "ZooKeeper instance", "srvr is not executed"];
    if words.iter().any(|word| zookeeper.contains(word)) {
        return Some(Listener::ZooKeeper);
    }
    let http = String::from_utf8_lossy(http);
    let status = http.lines().next().and_then(|line| line.strip_prefix("HTTP/1."))?;
    if http.contains("\"etcdserver\"") {
        return Some(Listener::Etcd);
    }
    let status = status.split_once(' ').map_or("", |(_, status)| status);
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    let name = http.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("server").then(|| format!(", {value}"))
    });
    let said = format!("{status}{}", name.unwrap_or_default());
    Some(Listener::Http(said.chars().filter(|c| is_plain(*c)).take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_recognised_by_their_answers() {
        let alert = [0x15, 0x03, 0x01, 0, 2];
        let version = "HTTP/1.0 200 OK\r\n\r\n{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}";
        let proxy = "HTTP/1.1 404 Not Found\r\nServer: nginx/1.18.0\r\n\r\n<html>";
        let insecure = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.";
        let refused = "srvr is not executed because it is not in the whitelist.\n";
        for (tls, zookeeper, http, listener) in [
            (&alert[..], "", insecure, Some(Listener::Tls)),
            (&[], "Zookeeper version: 3.8.0", "", Some(Listener::ZooKeeper)),
            (&[], refused, "", Some(Listener::ZooKeeper)),
            (&[], "", version, Some(Listener::Etcd)),
            (b"HTTP", "", proxy, Some(Listener::Http("404 Not Found, nginx/1.18.0".to_owned()))),
            (b"SSH", "SSH-2.0", "SSH-2.0-OpenSSH", None),
            (&[], "", "", None),
        ] {
            assert_eq!(recognised(tls, zookeeper.as_bytes(), http.as_bytes()), listener);
        }
    }

    #[test]
    fn the_url_that_fits_is_told() {
        let said = |kind, tls, listener: Listener| {
            Expected { kind, tls, path: "/prod" }.disappointed_by(&listener, "h:1")
        };
        let (etcd, zookeeper) = (Kind::Etcd, Kind::ZooKeeper);
        for (kind, tls, listener, url) in [
            (etcd, false, Listener::Tls, "etcd+tls://h:1/prod"),
            (etcd, true, Listener::Etcd, "etcd://h:1/prod"),
            (etcd, false, Listener::ZooKeeper, "zookeeper://h:1/prod"),
            (etcd, true, Listener::ZooKeeper, "zookeeper://h:1/prod"),
            (zookeeper, false, Listener::Tls, "zookeeper+tls://h:1/prod"),
            (zookeeper, true, Listener::ZooKeeper, "zookeeper://h:1/prod"),
            (zookeeper, false, Listener::Etcd, "etcd://h:1/prod"),
            (zookeeper, true, Listener::Etcd, "etcd://h:1/prod"),
        ] {
            let said = said(kind, tls, listener).unwrap();
            assert!(said.contains(&format!("write `{url}`")), "{said}");
        }
        assert!(
            said(etcd, false, Listener::Http("404 Not Found".to_owned())).unwrap().contains("404 Not Found")
        );
        for (kind, tls, listener) in [
            (etcd, false, Listener::Etcd),
            (etcd, true, Listener::Tls),
            (zookeeper, false, Listener::ZooKeeper),
            (zookeeper, true, Listener::Tls),
        ] {
            assert_eq!(said(kind, tls, listener), None);
        }
    }
}
