//! A command's end of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Answer, PATIENCE, Request};

/// Why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No daemon listens.
    #[error(
        "no daemon answers on {path}: {error}; is twitcher running? (`systemctl status twitcher`, or `twitcher run`; it answers on a changed control_socket from its next start)"
    )]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Only root and the daemon's own user may.
    #[error("{path} lets only root and the user of the daemon ask: use sudo")]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// It did not finish its answer.
    #[error("the daemon on {path} gave no whole answer: {why}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The daemon refused.
    #[error("{0}")]
    Refused(String),
}

/// Asks the daemon on this socket.
pub async fn ask(socket: &Path, request: &Request) -> Result<serde_json::Value, AskError> {
    let unreachable = |error: io::Error| {
        let path = socket.to_owned();
        if error.kind() == io::ErrorKind::PermissionDenied {
            AskError::Forbidden { path }
        } else {
            AskError::Unreachable { path, error }
        }
    };
    let broken = |why: String| AskError::Broken { path: socket.to_owned(), why };
    let mut stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let exchange = async {
        let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
        line.push(b'\n');
        // A daemon that refuses us answers and hangs up without reading the request.
        let written = stream.write_all(&line).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        if answer.ends_with(b"\n") {
            return Ok(answer);
        }
        written.and(read.map(|_| answer))
    };
    let answer = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| broken(format!("nothing came for {} s", PATIENCE.as_secs())))?
        .map_err(|error| broken(error.to_string()))?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Done(value)) => Ok(value),
        Ok(Answer::Error(why)) => Err(AskError::Refused(why)),
        Err(error) => Err(broken(error.to_string())),
    }
}
