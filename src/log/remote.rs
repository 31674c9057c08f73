//! The connection to a log server: opened when there is something to write, and again after every failure.
//!
//! Neither transport acknowledges messages. To lose few, TCP checks for the server's FIN before each message and sends
//! a message again if the connection broke within it; UDP notices an ICMP refusal, and after one counts a message as
//! sent only if no refusal follows.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use super::lookup::Lookup;
use super::record::Record;
use super::rfc5424::Sender;
use super::server::{LogServer, Transport};

/// Time limit of one attempt to write; then the writer checks whether it is still wanted.
const ATTEMPT: Duration = Duration::from_millis(200);
/// Time limit of connecting to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a server may leave data unacknowledged before the connection counts as dead, in milliseconds.
const UNACKNOWLEDGED_LIMIT: u32 = 30_000;
/// How long to wait for an ICMP refusal.
const REFUSAL: Duration = Duration::from_millis(50);
/// Longest use of one resolved address over UDP, which does not notice when a server has moved.
const ADDRESS_AGE: Duration = Duration::from_mins(1);

/// A log server, connected or not.
#[derive(Debug)]
pub(super) struct Remote {
    server: LogServer,
    sender: Sender,
    lookup: Lookup,
    connection: Option<Connection>,
    /// Bytes of the current message that this connection has taken.
    sent: usize,
    /// The server refused a datagram, and none has gone unrefused since.
    refused: bool,
}

#[derive(Debug)]
enum Connection {
    Udp { socket: UdpSocket, server: SocketAddr, since: Instant },
    Tcp(TcpStream),
}

impl Remote {
    pub(super) fn new(server: LogServer, sender: Sender) -> Self {
        let lookup = Lookup::default();
        Self { server, sender, lookup, connection: None, sent: 0, refused: false }
    }

    /// The bytes of a record.
    pub(super) fn frame(&self, record: &Record) -> Vec<u8> {
        self.sender.frame(record, self.server.transport)
    }

    /// One attempt to send a frame. After an error the caller tries the same frame again.
    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let tried = self.attempt(frame);
        match &tried {
            Ok(()) => self.sent = 0,
            // The server reads slowly: the rest goes into the same connection.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.connection.is_some() => {}
            Err(error) => {
                self.refused |= error.kind() == io::ErrorKind::ConnectionRefused;
                self.connection = None;
                self.sent = 0;
            }
        }
        tried
    }

    fn attempt(&mut self, frame: &[u8]) -> io::Result<()> {
        self.follow_the_name();
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let addresses = self.lookup.addresses(&self.server, ATTEMPT)?;
            self.connection.insert(connect(self.server.transport, &addresses)?)
        };
        match connection {
            Connection::Udp { socket, .. } => {
                socket.send(frame)?;
                if self.refused {
                    std::thread::sleep(REFUSAL);
                    socket.take_error()?.map_or(Ok(()), Err)?;
                    self.refused = false;
                }
                Ok(())
            }
            Connection::Tcp(stream) => {
                if self.sent == 0 {
                    still_open(stream)?;
                }
                while let Some(rest) = frame.get(self.sent..).filter(|rest| !rest.is_empty()) {
                    match stream.write(rest) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(written) => self.sent += written,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
        }
    }

    /// Resolves the server's name from time to time, and drops an address that no longer belongs to it.
    fn follow_the_name(&mut self) {
        let Some(Connection::Udp { server, since, .. }) = &mut self.connection else { return };
        if since.elapsed() < ADDRESS_AGE {
            return;
        }
        match self.lookup.addresses(&self.server, Duration::ZERO) {
            Ok(addresses) if !addresses.contains(server) => self.connection = None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A name server that fails for a while changes nothing.
            Ok(_) | Err(_) => *since = Instant::now(),
        }
    }
}

/// Connects to the first address that accepts.
fn connect(transport: Transport, addresses: &[SocketAddr]) -> io::Result<Connection> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        let connected = match transport {
            Transport::Udp => udp(*address),
            Transport::Tcp => tcp(address),
        };
        match connected {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A connected socket: only such a one learns of a refused datagram.
fn udp(server: SocketAddr) -> io::Result<Connection> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_write_timeout(Some(ATTEMPT))?;
    Ok(Connection::Udp { socket, server, since: Instant::now() })
}

fn tcp(server: &SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect_timeout(server, CONNECT_LIMIT)?;
    stream.set_write_timeout(Some(ATTEMPT))?;
    setsockopt(&stream, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_LIMIT)?;
    setsockopt(&stream, sockopt::KeepAlive, &true)?;
    Ok(Connection::Tcp(stream))
}

/// Whether the server has not closed the connection. It sends no data.
fn still_open(stream: &TcpStream) -> io::Result<()> {
    let mut unused = [0; 256];
    loop {
        match recv(stream.as_raw_fd(), &mut unused, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}
