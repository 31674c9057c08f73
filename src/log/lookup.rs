//! Resolves the name of a log server on a thread of its own: a name server that hangs must delay neither shutdown nor
//! a change of `log`.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::server::LogServer;

type Addresses = io::Result<Vec<SocketAddr>>;

/// Resolves one name; at most one thread at a time.
#[derive(Debug, Default)]
pub(super) struct Lookup(Option<Receiver<Addresses>>);

impl Lookup {
    /// The addresses, after waiting at most this long. `WouldBlock`: the name server has not answered yet, ask again.
    pub(super) fn addresses(&mut self, server: &LogServer, limit: Duration) -> Addresses {
        if let Ok(address) = server.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, server.port)]);
        }
        let answer = if let Some(answer) = &self.0 {
            answer
        } else {
            self.0.insert(begin(server.host.clone(), server.port)?)
        };
        let answered = match answer.recv_timeout(limit) {
            Ok(answered) => answered,
            Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.0 = None;
        answered
    }
}

fn begin(host: String, port: u16) -> io::Result<Receiver<Addresses>> {
    let (answer_out, answer) = channel();
    thread::Builder::new().name("log-lookup".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // The receiver is gone if `log` was changed meanwhile.
        let _ = answer_out.send(found);
    })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_resolve_and_an_unknown_name_is_an_error() {
        let found = |url: &str| {
            let mut lookup = Lookup::default();
            loop {
                match lookup.addresses(&url.parse().unwrap(), Duration::from_secs(1)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    found => return found,
                }
            }
        };
        assert_eq!(found("syslog://[::1]:5").unwrap(), ["[::1]:5".parse().unwrap()]);
        let local = found("syslog://localhost:5").unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback()) && !local.is_empty(), "{local:?}");
        assert!(found("syslog://does-not-exist.invalid:5").is_err());
    }
}
