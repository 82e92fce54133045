//! The commands' side.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Reply, Request,
    message::{Answer, Question, VERSION, line},
};

/// Longest reply, bytes.
const REPLY_LIMIT: u64 = 16 * 1024 * 1024;

/// Why the daemon did not answer.
#[derive(Debug)]
pub enum AskError {
    /// There is none.
    NoDaemon,
    /// This user may not ask it.
    Denied,
    /// There is one, but it did not answer as it should: a sentence.
    Broken(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDaemon => write!(f, "no daemon runs"),
            Self::Denied => write!(f, "this user may not ask the daemon"),
            Self::Broken(why) => write!(f, "the daemon does not answer: {why}"),
        }
    }
}

impl std::error::Error for AskError {}

/// Asks the daemon behind `socket`, waiting for at most `patience` in all.
///
/// # Errors
/// If there is no daemon, or it does not answer, or with [`Reply::Error`].
pub fn ask(socket: &Path, request: Request, patience: Duration) -> Result<Reply, AskError> {
    let deadline = Instant::now() + patience;
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NoDaemon,
        ErrorKind::PermissionDenied => AskError::Denied,
        _ => AskError::Broken(error.to_string()),
    })?;
    let reply = exchange(&mut stream, request, deadline).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            AskError::Broken(format!("no reply within {} s", patience.as_secs()))
        }
        _ => AskError::Broken(error.to_string()),
    })?;
    let answer: Answer = serde_json::from_slice(&reply)
        .map_err(|error| AskError::Broken(format!("its reply makes no sense: {error}")))?;
    match answer.reply {
        Reply::Error(why) => Err(AskError::Broken(why)),
        reply => Ok(reply),
    }
}

fn exchange(stream: &mut UnixStream, request: Request, deadline: Instant) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(&line(&Question { version: VERSION, request }))?;
    let mut reply = Vec::new();
    let mut chunk = [0; 8192];
    while reply.last() != Some(&b'\n') {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk)? {
            0 => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it hung up")),
            count => reply.extend_from_slice(&chunk[..count]),
        }
        if reply.len() as u64 > REPLY_LIMIT {
            return Err(io::Error::other("its reply is too long"));
        }
    }
    Ok(reply)
}

/// What is left of the patience; an error if nothing is.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
