//! The files that a store's specification names: passwords, digests and certificates.
//!
//! Only regular files of bounded size are read, on the store's own thread: a pipe or a dead mount costs the store its
//! connection and one thread, however often it reconnects.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::{StoreError, Tls};

/// The largest file, in bytes. A system's list of authorities has about 250 KB.
const LARGEST: u64 = 4 << 20;
/// Time limit for reading one file.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where systems keep their trusted authorities: Debian and Alpine, Fedora, OpenBSD's name on many, SUSE.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// `password_file`: a password; a newline at its end does not count.
    Password,
    /// `digest_file`: one line, `user:password`.
    Digest,
    /// `ca`: certificates in PEM.
    Authorities,
    /// `cert`: our certificate in PEM, and the intermediate ones.
    Certificate,
    /// `key`: the certificate's private key in PEM.
    Key,
}

impl FileKind {
    /// Whether it must be private to its owner.
    pub(crate) fn is_secret(self) -> bool {
        match self {
            Self::Password | Self::Digest | Self::Key => true,
            Self::Authorities | Self::Certificate => false,
        }
    }

    /// The text of the file, or why it is invalid.
    fn text(self, bytes: Vec<u8>) -> Result<String, String> {
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let line = || text.trim_end_matches(['\n', '\r']).to_owned();
        match self {
            _ if text.trim().is_empty() => Err("it is empty".to_owned()),
            Self::Password => {
                let password = text.strip_suffix('\n').unwrap_or(&text);
                Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
            }
            Self::Digest if line().contains(':') && !line().contains('\n') => Ok(line()),
            Self::Digest => Err("it must hold one line, `user:password`".to_owned()),
            Self::Authorities => {
                let certificates: Vec<_> =
                    CertificateDer::pem_slice_iter(text.as_bytes()).flatten().collect();
                let (usable, _) = RootCertStore::empty().add_parsable_certificates(certificates);
                if usable > 0 { Ok(text) } else { Err("it holds no certificate in PEM".to_owned()) }
            }
            Self::Certificate => match CertificateDer::from_pem_slice(text.as_bytes()) {
                Ok(_) => Ok(text),
                Err(_) => Err("it holds no certificate in PEM".to_owned()),
            },
            Self::Key => match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
                Ok(_) => Ok(text),
                Err(_) => Err("it holds no private key in PEM".to_owned()),
            },
        }
    }

    /// Reads an open file, if it is a regular file with valid content.
    pub(crate) fn read(self, file: &File, found: &Metadata) -> Result<String, String> {
        if !found.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("it has more than {LARGEST} bytes"));
        }
        self.text(bytes)
    }
}

/// Opens without waiting for a pipe's other end, and reads.
fn read(path: &Path, kind: FileKind) -> Result<String, String> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC | nix::libc::O_NOCTTY;
    let file =
        File::options().read(true).custom_flags(flags).open(path).map_err(|error| error.to_string())?;
    let found = file.metadata().map_err(|error| error.to_string())?;
    kind.read(&file, &found)
}

/// Certificates of a connection, as PEM.
#[derive(Debug)]
pub(super) struct Certificates {
    /// Authorities that must have signed the server's certificate, and their file.
    pub(super) authorities: (PathBuf, String),
    /// Our certificate, its key, and the certificate's file.
    pub(super) identity: Option<Identity>,
}

/// A client certificate and its key, as PEM.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) path: PathBuf,
    pub(super) cert: String,
    pub(super) key: String,
}

/// Reads the files of one store, one at a time.
#[derive(Debug, Clone)]
pub struct StoreFiles {
    free: Arc<Semaphore>,
    patience: Duration,
}

impl Default for StoreFiles {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(1)), patience: PATIENCE }
    }
}

impl StoreFiles {
    /// Reads a file. The error names the file and never quotes its content.
    pub(super) async fn read(&self, path: &Path, kind: FileKind) -> Result<String, StoreError> {
        self.run(path, move |path| read(path, kind)).await
    }

    /// Reads the certificates that `tls` names; the system's authorities if it names none.
    pub(super) async fn certificates(&self, tls: &Tls) -> Result<Certificates, StoreError> {
        let ca = match &tls.ca {
            Some(ca) => ca.clone(),
            None => self.run(Path::new(SYSTEM_AUTHORITIES[0]), |_| system_authorities()).await?,
        };
        let authorities = self.read(&ca, FileKind::Authorities).await?;
        let identity = match (&tls.cert, &tls.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(Identity {
                path: cert.clone(),
                cert: self.read(cert, FileKind::Certificate).await?,
                key: self.read(key, FileKind::Key).await?,
            }),
            (Some(alone), None) | (None, Some(alone)) => {
                return Err(failed(alone, "`cert` and `key` belong together; set both or none"));
            }
        };
        Ok(Certificates { authorities: (ca, authorities), identity })
    }

    async fn run<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(&Path) -> Result<T, String> + Send + 'static,
    ) -> Result<T, StoreError> {
        let unanswered = || {
            failed(
                path,
                "the file system does not answer; if it is a network file system, is its server there?",
            )
        };
        let Ok(Ok(free)) = timeout(self.patience, Arc::clone(&self.free).acquire_owned()).await else {
            return Err(unanswered());
        };
        let (results, result) = oneshot::channel();
        let file = path.to_owned();
        let thread = std::thread::Builder::new().name("store files".to_owned()).spawn(move || {
            let read = work(&file);
            drop(free);
            // Fails only if the connection is no longer wanted.
            let _ = results.send(read);
        });
        thread.map_err(|error| failed(path, &format!("no thread can be started: {error}")))?;
        match timeout(self.patience, result).await {
            Ok(Ok(read)) => read.map_err(|why| failed(path, &why)),
            Ok(Err(_)) => Err(failed(path, "reading it failed through a bug in twitcher")),
            Err(_) => Err(unanswered()),
        }
    }
}

fn system_authorities() -> Result<PathBuf, String> {
    let found = SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        "the system has no list of trusted authorities; install ca-certificates, or set `ca` in the store's `tls` table"
            .to_owned()
    })
}

fn failed(path: &Path, why: &str) -> StoreError {
    StoreError::File { path: path.display().to_string(), why: why.to_owned() }
}

#[cfg(test)]
mod tests;
