//! The destinations of the log, which of them `auto` means, and how each is opened.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::stat::fstat;

use super::LogLevel;
use super::format::Form;
use super::remote::Remote;
use super::rfc5424::Sender;
use super::server::{InvalidLogServer, LogServer};
use super::writer::Sink;

/// Longest time that one attempt to send a datagram may block the writer's thread.
const SEND_LIMIT: Duration = Duration::from_millis(200);

/// `log` in `twitcher.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// journald under systemd, else syslog if its socket exists, else standard error.
    Auto,
    /// `/dev/log`, facility daemon, in the format of RFC 3164.
    Syslog,
    /// journald's native protocol, with fields.
    Journald,
    /// Standard error, for people.
    Stderr,
    /// Standard error, one JSON object a line.
    Json,
    /// A log server, in the format of RFC 5424.
    Server(LogServer),
}

/// Text that names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownDestination {
    /// None of the words.
    #[error("expected one of auto, syslog, journald, stderr, json, or the URL of a log server")]
    Word,
    /// An invalid URL of a log server.
    #[error(transparent)]
    Server(#[from] InvalidLogServer),
}

impl FromStr for Destination {
    type Err = UnknownDestination;

    fn from_str(name: &str) -> Result<Self, UnknownDestination> {
        match name {
            "auto" => Ok(Self::Auto),
            "syslog" => Ok(Self::Syslog),
            "journald" => Ok(Self::Journald),
            "stderr" => Ok(Self::Stderr),
            "json" => Ok(Self::Json),
            url if url.contains("://") => Ok(Self::Server(url.parse()?)),
            _ => Err(UnknownDestination::Word),
        }
    }
}

/// The destination and level of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The destination.
    pub destination: Destination,
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The socket of syslog.
    pub syslog_socket: PathBuf,
    /// The socket of journald.
    pub journald_socket: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            destination: Destination::Auto,
            level: LogLevel::Info,
            syslog_socket: "/dev/log".into(),
            journald_socket: "/run/systemd/journal/socket".into(),
        }
    }
}

impl Settings {
    /// Opens the destination. A socket or server that is not there yet is not an error: messages wait for it.
    pub(super) fn open(&self) -> Sink {
        let opened = match self.resolved() {
            Destination::Syslog => datagram(&self.syslog_socket, Form::Syslog),
            Destination::Journald => datagram(&self.journald_socket, Form::Journald),
            Destination::Json => Ok(stderr(Form::Json)),
            Destination::Stderr | Destination::Auto => Ok(stderr(Form::Text)),
            Destination::Server(server) => {
                let sender = Sender::new(&host_name(), std::process::id());
                Ok(Sink::Server(Box::new(Remote::new(server, sender))))
            }
        };
        // Out of descriptors; standard error still works.
        opened.unwrap_or_else(|_| stderr(Form::Text))
    }

    fn resolved(&self) -> Destination {
        match &self.destination {
            Destination::Auto => {
                let journal_stream = std::env::var("JOURNAL_STREAM").ok();
                let stderr = fstat(io::stderr()).ok().map(|stat| (stat.st_dev, stat.st_ino));
                automatic(journal_stream.as_deref(), stderr, self.syslog_socket.exists())
            }
            chosen @ (Destination::Syslog
            | Destination::Journald
            | Destination::Stderr
            | Destination::Json
            | Destination::Server(_)) => chosen.clone(),
        }
    }
}

/// What `auto` means. systemd sets `JOURNAL_STREAM=DEVICE:INODE` if standard error goes to the journal
/// (systemd.exec(5)); a variable that was inherited from elsewhere names another file.
fn automatic(journal_stream: Option<&str>, stderr: Option<(u64, u64)>, syslog: bool) -> Destination {
    let journal = journal_stream.and_then(|text| {
        let (device, inode) = text.split_once(':')?;
        Some((device.parse().ok()?, inode.parse().ok()?))
    });
    if journal.is_some() && journal == stderr {
        Destination::Journald
    } else if syslog {
        Destination::Syslog
    } else {
        Destination::Stderr
    }
}

fn stderr(form: Form) -> Sink {
    // Not std's handle: a reader that does not read would keep std's lock taken.
    let stream: Box<dyn io::Write + Send> = match io::stderr().as_fd().try_clone_to_owned() {
        Ok(fd) => Box::new(File::from(fd)),
        Err(_) => Box::new(io::stderr()),
    };
    Sink::Stream { stream, form }
}

/// The machine's name in the form that RFC 5424 requires.
fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The socket is not connected, so that a restarted reader is reached without reconnecting.
fn datagram(path: &Path, form: Form) -> io::Result<Sink> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_LIMIT))?;
    Ok(Sink::Datagram { socket, path: path.to_owned(), form })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_the_journal_only_if_standard_error_goes_to_it() {
        for (journal_stream, stderr, syslog, expected) in [
            (Some("8:1234"), Some((8, 1234)), true, Destination::Journald),
            (Some("8:1234"), Some((8, 999)), true, Destination::Syslog),
            (Some("8:1234"), None, false, Destination::Stderr),
            (Some("nonsense"), Some((8, 1234)), false, Destination::Stderr),
            (None, Some((8, 1234)), true, Destination::Syslog),
            (None, None, false, Destination::Stderr),
        ] {
            assert_eq!(automatic(journal_stream, stderr, syslog), expected, "{journal_stream:?} {stderr:?}");
        }
    }

    #[test]
    fn destinations_are_parsed_by_their_names_in_the_configuration() {
        for name in ["auto", "syslog", "journald", "stderr", "json"] {
            let destination: Destination = name.parse().unwrap();
            assert_eq!(format!("{destination:?}").to_lowercase(), name);
        }
        assert_eq!("Syslog".parse::<Destination>(), Err(UnknownDestination::Word));
        assert!(matches!("syslog://a:1".parse(), Ok(Destination::Server(_))));
        assert!(matches!("syslog://a".parse::<Destination>(), Err(UnknownDestination::Server(_))));
    }
}
