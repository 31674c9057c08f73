//! Parses store URLs, for `twitcher.conf` and `--store`.
//!
//! Pure: no name is resolved and nothing is opened. Messages never repeat a URL that may contain a secret.

use std::path::PathBuf;
use std::str::FromStr;

use super::{StoreKind, StoreUrl};

/// etcd's client port, IANA.
const ETCD_PORT: u16 = 2379;
/// ZooKeeper's `clientPort` in every sample configuration.
const ZOOKEEPER_PORT: u16 = 2181;
/// ZooKeeper's `secureClientPort` in its administrator's guide.
const ZOOKEEPER_TLS_PORT: u16 = 2281;

/// Why a store URL is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStoreUrl {
    /// No `://`.
    #[error("a store URL begins with its kind, as in `etcd://host:2379/prefix` or `dir:///var/lib/keys`")]
    NoScheme,
    /// Something else before `://`.
    #[error("`{0}://` is no kind of store; {meant}there are {kinds}", meant = meant(.0), kinds = kinds())]
    UnknownScheme(String),
    /// `user:password@`.
    #[error(
        "a store URL must not contain a user or password; write `username` and `password_file` (etcd) or `digest_file` \
         (ZooKeeper) in the store's table of twitcher.conf"
    )]
    Credentials,
    /// White space, a control character or a backslash.
    #[error("a store URL must not contain white space, a control character or a backslash")]
    Blank,
    /// `?query` or `#fragment`.
    #[error("a store URL must not have a `{0}` part; settings belong in the store's table of twitcher.conf")]
    Extra(char),
    /// Nothing between `://` and the path, or between two commas.
    #[error("a host is missing, write `{0}://host:port`, several with commas between them")]
    NoHost(&'static str),
    /// Characters that no host name has.
    #[error("`{0}` is not a host name or address")]
    Host(String),
    /// An IPv6 address without brackets, or half of them.
    #[error("an IPv6 address needs brackets, as in `[2001:db8::1]:2379`")]
    Brackets,
    /// Not 1 to 65535.
    #[error("`{0}` is not a port; a port is a number from 1 to 65535")]
    Port(String),
    /// The same server twice.
    #[error("`{0}` is named twice")]
    Duplicate(String),
    /// `etcd://a/x,b/x`.
    #[error("the path belongs after the last host: `{0}://host1:port,host2:port/path`")]
    HostAfterPath(&'static str),
    /// An empty, `.` or `..` segment.
    #[error("the path `{0}` has an empty segment, `.` or `..` in it")]
    Segment(String),
    /// `dir://relative`.
    #[error("a `dir` store is an absolute path after three slashes, as in `dir:///var/lib/twitcher/keys`")]
    NotAbsolute,
}

/// The scheme that another one most likely means.
fn near_scheme(scheme: &str) -> Option<&'static str> {
    let scheme = scheme.to_ascii_lowercase();
    let known = match scheme.as_str() {
        "etcd" | "http" | "grpc" | "etcd2" | "etcd3" | "etcdv3" => "etcd",
        "etcd+tls" | "https" | "grpcs" | "etcds" | "etcd+ssl" | "etcd+https" | "etcd-tls" => "etcd+tls",
        "zookeeper" | "zk" | "zoo" | "zookeper" | "zookeepers" => "zookeeper",
        "zookeeper+tls" | "zk+tls" | "zks" | "zookeeper+ssl" | "zk+ssl" | "zookeeper-tls" => "zookeeper+tls",
        "dir" | "file" | "directory" | "path" | "fs" => "dir",
        _ => return None,
    };
    Some(known)
}

fn meant(scheme: &str) -> String {
    near_scheme(scheme).map_or_else(String::new, |near| format!("did you mean `{near}://`? "))
}

/// The URL that a text without `://` most likely means: a path, or a host with a port.
pub(crate) fn suggested(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:,[]/".contains(c);
    if text.contains("://") || text.len() > 200 || !text.chars().all(plain) {
        return None;
    }
    if text.starts_with('/') {
        return Some(format!("dir://{text}"));
    }
    let first = text.split([',', '/']).next().unwrap_or_default();
    let (_, port) = first.rsplit_once(':')?;
    let scheme = match port.parse().ok()? {
        ZOOKEEPER_PORT => "zookeeper",
        ZOOKEEPER_TLS_PORT => "zookeeper+tls",
        0 => return None,
        _ => "etcd",
    };
    Some(format!("{scheme}://{text}"))
}

/// A correct URL of the kind that a text is most likely meant to be.
pub(crate) fn example_like(text: &str) -> &'static str {
    let guess = suggested(text);
    let text = guess.as_deref().unwrap_or(text);
    let scheme = text.split("://").next().and_then(near_scheme);
    match scheme {
        Some("zookeeper") => "zookeeper://zk1:2181,zk2:2181,zk3:2181/chroot",
        Some("zookeeper+tls") => "zookeeper+tls://zk1:2281,zk2:2281,zk3:2281/chroot",
        Some("dir") => "dir:///var/lib/twitcher/keys",
        Some("etcd+tls") => "etcd+tls://etcd1:2379,etcd2:2379,etcd3:2379/prod",
        Some(_) | None => "etcd://etcd1:2379,etcd2:2379/prod",
    }
}

fn kinds() -> String {
    StoreKind::schemes().map(|scheme| format!("`{scheme}://`")).collect::<Vec<_>>().join(", ")
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidStoreUrl::NoScheme)?;
        if rest.split('/').next().is_some_and(|hosts| hosts.contains('@')) {
            return Err(InvalidStoreUrl::Credentials);
        }
        // A password may contain a slash, so an invalid URL with an `@` is not repeated in the message.
        let secret = scheme != "dir" && rest.contains('@');
        understand(scheme, rest).map_err(|error| if secret { InvalidStoreUrl::Credentials } else { error })
    }
}

fn understand(scheme: &str, rest: &str) -> Result<StoreUrl, InvalidStoreUrl> {
    if !StoreKind::schemes().any(|known| known == scheme) {
        let word = scheme.chars().filter(char::is_ascii_graphic).take(20).collect();
        return Err(InvalidStoreUrl::UnknownScheme(word));
    }
    if rest.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(InvalidStoreUrl::Blank);
    }
    if let Some(extra) = rest.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(InvalidStoreUrl::Extra(extra));
    }
    match scheme {
        "etcd" | "etcd+tls" => {
            let (endpoints, prefix) = servers_and_path(rest, "etcd", ETCD_PORT)?;
            Ok(StoreUrl::Etcd { endpoints, prefix, tls: scheme.ends_with("+tls") })
        }
        "zookeeper" | "zookeeper+tls" => {
            let tls = scheme.ends_with("+tls");
            let port = if tls { ZOOKEEPER_TLS_PORT } else { ZOOKEEPER_PORT };
            let (servers, chroot) = servers_and_path(rest, "zookeeper", port)?;
            Ok(StoreUrl::ZooKeeper { servers, chroot, tls })
        }
        _ if rest.starts_with('/') => {
            let path = plain_path(rest)?;
            Ok(StoreUrl::Dir { root: PathBuf::from(if path.is_empty() { "/" } else { path }) })
        }
        _ => Err(InvalidStoreUrl::NotAbsolute),
    }
}

fn servers_and_path(
    rest: &str,
    scheme: &'static str,
    port: u16,
) -> Result<(Vec<String>, String), InvalidStoreUrl> {
    let (hosts, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if path.split_once(',').is_some_and(|(_, after)| after.contains([':', '/'])) {
        return Err(InvalidStoreUrl::HostAfterPath(scheme));
    }
    let mut servers: Vec<String> = Vec::new();
    for host in hosts.split(',') {
        if host.is_empty() {
            return Err(InvalidStoreUrl::NoHost(scheme));
        }
        let server = server(host, scheme, port)?;
        if servers.contains(&server) {
            return Err(InvalidStoreUrl::Duplicate(server));
        }
        servers.push(server);
    }
    Ok((servers, plain_path(path)?.to_owned()))
}

fn server(text: &str, scheme: &'static str, default_port: u16) -> Result<String, InvalidStoreUrl> {
    let (host, port) = if let Some(inside) = text.strip_prefix('[') {
        let (address, after) = inside.split_once(']').ok_or(InvalidStoreUrl::Brackets)?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(InvalidStoreUrl::Host(text.to_owned()));
        }
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(InvalidStoreUrl::Port(after.to_owned())),
        };
        (format!("[{address}]"), port)
    } else if text.matches(':').count() > 1 || text.contains(']') {
        return Err(InvalidStoreUrl::Brackets);
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if host.is_empty() {
            return Err(InvalidStoreUrl::NoHost(scheme));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.len() > 253 || host.starts_with(['-', '.']) || !host.chars().all(allowed) {
            return Err(InvalidStoreUrl::Host(host.chars().take(60).collect()));
        }
        (host.to_ascii_lowercase(), port)
    };
    let port = match port {
        None => default_port,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
            Ok(port @ 1..) => port,
            Ok(0) | Err(_) => return Err(InvalidStoreUrl::Port(digits.chars().take(20).collect())),
        },
        Some(other) => return Err(InvalidStoreUrl::Port(other.chars().take(20).collect())),
    };
    Ok(format!("{host}:{port}"))
}

/// The path without a slash at its end: empty, or like `/a/b`.
fn plain_path(path: &str) -> Result<&str, InvalidStoreUrl> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(InvalidStoreUrl::Segment(path.chars().take(60).collect()));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreUrl, InvalidStoreUrl> {
        text.parse()
    }

    #[test]
    fn schemes_of_other_programs_are_understood() {
        for (url, near) in [
            ("zk://a", Some("zookeeper://")),
            ("http://a:2379", Some("etcd://")),
            ("https://a:2379", Some("etcd+tls://")),
            ("file:///a", Some("dir://")),
            ("consul://a", None),
        ] {
            let said = parse(url).unwrap_err().to_string();
            match near {
                Some(near) => assert!(said.contains(&format!("did you mean `{near}`?")), "{said}"),
                None => assert!(!said.contains("did you mean"), "{said}"),
            }
        }
        for (text, url) in [
            ("/var/lib/keys", Some("dir:///var/lib/keys")),
            ("localhost:2379", Some("etcd://localhost:2379")),
            ("zk1:2181,zk2:2181/app", Some("zookeeper://zk1:2181,zk2:2181/app")),
            ("main", None),
            ("etcd://a", None),
            ("u:secret@h:1", None),
        ] {
            assert_eq!(suggested(text).as_deref(), url, "{text}");
        }
        for (text, example) in [
            ("zk://a/", "zookeeper://"),
            ("file://a", "dir://"),
            ("/a", "dir://"),
            ("https://a", "etcd+tls://"),
            ("x", "etcd://"),
        ] {
            let example_url = example_like(text);
            assert!(example_url.starts_with(example) && parse(example_url).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_valid_url_is_displayed_in_full() {
        for (text, meaning) in [
            ("etcd://a", "etcd://a:2379"),
            ("etcd://A:1,b/prod/", "etcd://a:1,b:2379/prod"),
            ("etcd+tls://10.0.0.1/x/y", "etcd+tls://10.0.0.1:2379/x/y"),
            ("etcd://[::1]", "etcd://[::1]:2379"),
            ("etcd://[::1]:99/", "etcd://[::1]:99"),
            ("zookeeper://zk1,zk2:2182,zk3/chroot", "zookeeper://zk1:2181,zk2:2182,zk3:2181/chroot"),
            ("zookeeper+tls://zk_1", "zookeeper+tls://zk_1:2281"),
            ("dir:///var/lib/keys/", "dir:///var/lib/keys"),
            ("dir:///", "dir:///"),
            ("dir:///a@b", "dir:///a@b"),
        ] {
            let url = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.to_string(), meaning, "{text}");
            assert_eq!(parse(meaning), Ok(url), "{meaning} means the same");
        }
    }

    #[test]
    fn invalid_urls_are_refused_with_a_reason() {
        use InvalidStoreUrl as E;
        let host = |text: &str| E::Host(text.to_owned());
        let port = |text: &str| E::Port(text.to_owned());
        for (text, wrong) in [
            ("", E::NoScheme),
            ("etcd1:2379", E::NoScheme),
            ("etcd:/a", E::NoScheme),
            ("http://a:2379", E::UnknownScheme("http".into())),
            ("ETCD://a", E::UnknownScheme("ETCD".into())),
            ("etcd://root:secret@a", E::Credentials),
            ("http://root:secret@a", E::Credentials),
            ("etcd://a, b", E::Blank),
            ("etcd://a\0", E::Blank),
            ("dir:///a\\b", E::Blank),
            ("etcd://a/p?timeout=1", E::Extra('?')),
            ("zookeeper://a#x", E::Extra('#')),
            ("etcd://", E::NoHost("etcd")),
            ("etcd:///prefix", E::NoHost("etcd")),
            ("zookeeper://a,,b", E::NoHost("zookeeper")),
            ("etcd://:2379", E::NoHost("etcd")),
            ("etcd://a$b", host("a$b")),
            ("etcd://-a", host("-a")),
            ("etcd://[a]:1", host("[a]:1")),
            ("etcd://::1", E::Brackets),
            ("etcd://[::1", E::Brackets),
            ("etcd://a:0", port("0")),
            ("etcd://a:65536", port("65536")),
            ("etcd://a:", port("")),
            ("etcd://a:+1", port("+1")),
            ("etcd://[::1]2379", port("2379")),
            ("etcd://a,a:2379", E::Duplicate("a:2379".into())),
            ("zookeeper://a/x,b:2181/x", E::HostAfterPath("zookeeper")),
            ("zookeeper://a//x", E::Segment("//x".into())),
            ("zookeeper://a/x/../y", E::Segment("/x/../y".into())),
            ("dir://relative/path", E::NotAbsolute),
            ("dir://", E::NotAbsolute),
            ("dir:///a/./b", E::Segment("/a/./b".into())),
        ] {
            assert_eq!(parse(text), Err(wrong), "{text:?}");
        }
    }

    #[test]
    fn a_refused_url_never_shows_its_password() {
        for text in
            ["etcd://u:hunter2@h", "nonsense://u:hunter2@h", "dir://u:hunter2@h/x", "etcd://u:hunter2/x@h"]
        {
            let message = parse(text).expect_err(text).to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_accepted_or_refused(text in ".{0,80}", tail in "[a-z0-9:/,\\[\\].@]{0,30}") {
            let _ = parse(&text);
            for scheme in StoreKind::schemes() {
                if let Ok(url) = parse(&format!("{scheme}://{tail}")) {
                    proptest::prop_assert_eq!(parse(&url.to_string()), Ok(url));
                }
            }
        }
    }
}
