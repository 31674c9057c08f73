//! The URL of a log server in `log`: `syslog://HOST:PORT` (UDP) or `syslog+tcp://HOST:PORT`. Pure: no name is
//! resolved here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An example of a valid URL for messages.
const EXAMPLE: &str = "syslog://logs.example:514";

/// How messages travel to a log server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram a message (RFC 5426). Messages sent while the server is away may be lost.
    Udp,
    /// A stream of messages, each preceded by its length: octet counting (RFC 6587, 3.4.1).
    Tcp,
}

/// A log server that speaks syslog (RFC 5424).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogServer {
    pub(super) transport: Transport,
    /// A name in lower case, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// A URL that names no log server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogServer {
    /// Another scheme.
    #[error("`{0}://` does not name a log server, expected `syslog://` (UDP) or `syslog+tcp://`")]
    Scheme(String),
    /// A user, path, query or white space.
    #[error("a log server is only HOST:PORT; `{0}` does not belong in its URL")]
    Extra(char),
    /// The host is missing.
    #[error("the URL of the log server names no host")]
    NoHost,
    /// The port is missing.
    #[error("the URL of the log server names no port; most syslog servers listen on 514")]
    NoPort,
    /// Not 1 to 65535.
    #[error("`{0}` is not a port, expected a number from 1 to 65535")]
    Port(String),
    /// Characters that no host name has.
    #[error("`{0}` is neither a host name nor an address")]
    Host(String),
    /// An IPv6 address without brackets.
    #[error("an IPv6 address needs brackets")]
    Brackets,
}

impl InvalidLogServer {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Brackets => r#"for example `log = "syslog://[2001:db8::1]:514"`"#.to_owned(),
            Self::Scheme(scheme) if scheme.contains("tls") || scheme.contains("ssl") => {
                "TLS is not supported: log to the syslog daemon of this machine (`log = \"syslog\"`) that forwards over TLS"
                    .to_owned()
            }
            Self::Scheme(scheme) if scheme == "syslog+udp" || scheme == "udp" => {
                format!("`syslog://` means UDP, for example `log = \"{EXAMPLE}\"`")
            }
            Self::Scheme(scheme) if scheme == "tcp" => {
                r#"for example `log = "syslog+tcp://logs.example:514"`"#.to_owned()
            }
            Self::Scheme(_) | Self::Extra(_) | Self::NoHost | Self::NoPort | Self::Port(_) | Self::Host(_) => {
                format!("for example `log = \"{EXAMPLE}\"`")
            }
        }
    }
}

impl FromStr for LogServer {
    type Err = InvalidLogServer;

    fn from_str(text: &str) -> Result<Self, InvalidLogServer> {
        let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
        let transport = match scheme {
            "syslog" => Transport::Udp,
            "syslog+tcp" => Transport::Tcp,
            _ => return Err(InvalidLogServer::Scheme(shown(scheme))),
        };
        let extra =
            |c: &char| matches!(c, '/' | '@' | '?' | '#' | '\\') || c.is_whitespace() || c.is_control();
        if let Some(extra) = rest.chars().find(extra) {
            return Err(InvalidLogServer::Extra(extra));
        }
        let (host, port) = if let Some(inside) = rest.strip_prefix('[') {
            let (address, after) = inside.split_once(']').ok_or(InvalidLogServer::Brackets)?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(InvalidLogServer::Host(shown(rest)));
            }
            (address, after.strip_prefix(':').ok_or(InvalidLogServer::NoPort)?)
        } else if rest.matches(':').count() > 1 {
            return Err(InvalidLogServer::Brackets);
        } else if rest.is_empty() || rest.starts_with(':') {
            return Err(InvalidLogServer::NoHost);
        } else {
            rest.split_once(':').ok_or(InvalidLogServer::NoPort)?
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_name = host.len() <= 253 && !host.starts_with(['-', '.']) && host.chars().all(allowed);
        if !is_name && host.parse::<IpAddr>().is_err() {
            return Err(InvalidLogServer::Host(shown(host)));
        }
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port @ 1..) if digits => Ok(Self { transport, host: host.to_ascii_lowercase(), port }),
            Ok(_) | Err(_) => Err(InvalidLogServer::Port(shown(port))),
        }
    }
}

/// A part of an invalid URL, safe to show in a message.
fn shown(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(60).collect()
}

impl fmt::Display for LogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "syslog",
            Transport::Tcp => "syslog+tcp",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<LogServer, InvalidLogServer> {
        text.parse()
    }

    #[test]
    fn a_url_names_transport_host_and_port() {
        for (text, meaning) in [
            ("syslog://Logs.Example:514", "syslog://logs.example:514"),
            ("syslog+tcp://10.0.0.1:6514", "syslog+tcp://10.0.0.1:6514"),
            ("syslog://[::1]:1", "syslog://[::1]:1"),
        ] {
            let server = parse(text).unwrap();
            assert_eq!(server.to_string(), meaning);
            assert_eq!(parse(meaning), Ok(server));
        }
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong() {
        use InvalidLogServer as E;
        for (text, wrong) in [
            ("file", E::Scheme("file".into())),
            ("", E::Scheme(String::new())),
            ("udp://a:1", E::Scheme("udp".into())),
            ("syslog+tls://a:1", E::Scheme("syslog+tls".into())),
            ("syslog://user@a:1", E::Extra('@')),
            ("syslog://a:1/", E::Extra('/')),
            ("syslog://a:1\n", E::Extra('\n')),
            ("syslog://", E::NoHost),
            ("syslog://:514", E::NoHost),
            ("syslog://a", E::NoPort),
            ("syslog://[::1]", E::NoPort),
            ("syslog://a:", E::Port(String::new())),
            ("syslog://a:0", E::Port("0".into())),
            ("syslog://a:65536", E::Port("65536".into())),
            ("syslog://a:+1", E::Port("+1".into())),
            ("syslog://a$:1", E::Host("a$".into())),
            ("syslog://[a]:1", E::Host("[a]:1".into())),
            ("syslog://::1:514", E::Brackets),
            ("syslog://[::1", E::Brackets),
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.hint().is_empty());
            assert_eq!(error, wrong, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_accepted_or_refused(tail in "[a-z0-9:/\\[\\].@ -]{0,30}") {
            for scheme in ["syslog", "syslog+tcp"] {
                if let Ok(server) = parse(&format!("{scheme}://{tail}")) {
                    proptest::prop_assert_eq!(parse(&server.to_string()), Ok(server));
                }
            }
        }
    }
}
