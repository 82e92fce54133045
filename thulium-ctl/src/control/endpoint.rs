//! The claim on an instance, and its socket.

use std::{
    fmt,
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use super::{Reply, Request, server};

/// Why an instance could not be claimed.
#[derive(Debug)]
pub enum ClaimError {
    /// Another daemon serves it; its process, if it is known.
    Served(Option<u32>),
    /// The socket or its lock cannot be made.
    Io(PathBuf, io::Error),
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served(Some(pid)) => write!(f, "it is already served by process {pid}"),
            Self::Served(None) => write!(f, "it is already served by another process"),
            Self::Io(path, error) => write!(f, "{} cannot be made: {error}", path.display()),
        }
    }
}

impl std::error::Error for ClaimError {}

/// The claim on an instance: a lock that the kernel releases when its process ends, however it ends. The lock file, and the
/// socket that it guards, are removed when this is dropped.
#[derive(Debug)]
pub struct Claim {
    socket: PathBuf,
    lock: PathBuf,
    /// Held as long as this lives.
    _held: File,
}

impl Claim {
    /// Claims the instance whose socket is `socket`, and removes what a dead daemon left there.
    ///
    /// # Errors
    /// If a living daemon serves the instance, or the lock cannot be made.
    pub fn take(socket: &Path) -> Result<Self, ClaimError> {
        if let Some(directory) = socket.parent() {
            make_directory(directory).map_err(|error| ClaimError::Io(directory.to_owned(), error))?;
        }
        let lock = socket.with_extension("lock");
        let held = acquire(&lock)?;
        let claim = Self { socket: socket.to_owned(), lock, _held: held };
        // With the lock held, whoever made the socket that is there is dead.
        match fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ClaimError::Io(socket.to_owned(), error)),
            _ => Ok(claim),
        }
    }

    /// Makes the socket. Connections wait until [`Endpoint::serve`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn listen(self) -> Result<Endpoint, ClaimError> {
        let failed = |error| ClaimError::Io(self.socket.clone(), error);
        let listener = UnixListener::bind(&self.socket).map_err(failed)?;
        fs::set_permissions(&self.socket, Permissions::from_mode(0o660)).map_err(failed)?;
        Ok(Endpoint { listener, _claim: self })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The lock is still held: nobody else's files are removed.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.lock);
    }
}

/// The socket of a claimed instance.
#[derive(Debug)]
pub struct Endpoint {
    listener: UnixListener,
    /// Removes the socket when this is dropped.
    _claim: Claim,
}

impl Endpoint {
    /// Claims the instance and listens at once; see [`Claim::take`] and [`Claim::listen`].
    ///
    /// # Errors
    /// If a living daemon serves the instance, or the files cannot be made.
    pub fn claim(socket: &Path) -> Result<Self, ClaimError> {
        Claim::take(socket)?.listen()
    }

    /// Answers requests, for ever. `handler` is asked for each.
    pub async fn serve<F, A>(&self, handler: F)
    where
        F: Fn(Request) -> A + Clone + Send + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        server::serve(&self.listener, handler).await;
    }
}

/// Makes the directory, for everyone to enter, unless it is there.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Takes the lock and writes our process into it.
fn acquire(path: &Path) -> Result<File, ClaimError> {
    let failed = |error| ClaimError::Io(path.to_owned(), error);
    loop {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o644).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(ClaimError::Served(pid.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Between opening and locking, an ending daemon can have removed the file: then this lock guards nothing.
        if is_still_there(&file, path) {
            file.set_len(0).map_err(failed)?;
            writeln!(file, "{}", std::process::id()).map_err(failed)?;
            return Ok(file);
        }
    }
}

fn is_still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}
