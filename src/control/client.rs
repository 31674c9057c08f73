//! The client end of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Answer, PATIENCE, Request};

/// Why a request to the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No daemon listens on the socket.
    #[error(
        "no daemon answers on {path}: {error}; is twitcher running? (`systemctl status twitcher`, or `twitcher run`; it answers on a changed control_socket from its next start)"
    )]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system error.
        error: io::Error,
    },
    /// Only root and the daemon's own user are allowed.
    #[error("{path} answers only root and the daemon's user: use sudo")]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon closed the connection before its answer was complete.
    #[error("the daemon on {path} gave no complete answer: {why}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// The daemon refused the request.
    #[error("{0}")]
    Refused(String),
}

/// Sends a request to the daemon on this socket.
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
        // A daemon that refuses the peer answers and closes without reading the request.
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
