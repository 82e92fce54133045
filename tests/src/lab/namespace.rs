//! A network namespace: entering it, running commands and opening sockets in it.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt},
        time::TimeVal,
    },
};

use super::wait::patience;

/// Where `ip netns` looks for namespaces.
pub(super) const NAMES: &str = "/run/netns";

/// How long a socket of the lab waits for a packet before its test fails.
const USUAL: Duration = Duration::from_secs(5);

/// Bytes that a UDP socket of the lab holds until they are read.
const ROOM: usize = 8 << 20;

/// A network namespace with a name, visible to `ip netns`.
pub struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    /// Makes the namespace. Unlike `ip netns add` this leaves the mount propagation of `/run/netns` as it is.
    pub(super) fn create(name: &str) -> Result<Self> {
        fs::create_dir_all(NAMES)?;
        let path = PathBuf::from(NAMES).join(name);
        File::create(&path)?;
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            mount(Some("/proc/thread-self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        })?
        .with_context(|| format!("making network namespace {name}"))?;
        Ok(Self { name: name.to_owned(), file: File::open(&path)? })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` inside, on a thread of its own. Sockets opened there stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        on_thread(|| setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).map(|()| work()))?
            .with_context(|| format!("entering {}", self.name))
    }

    /// A command that will run inside. It is its own process group, so that Ctrl-C reaches only the test or demo,
    /// and dies with the thread that starts it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let namespace = self.file.try_clone();
        // SAFETY: between fork and exec only the system calls setns and prctl are made; nothing is allocated.
        unsafe {
            command.process_group(0).pre_exec(move || {
                let namespace = namespace.as_ref().map_err(|error| io::Error::from(error.kind()))?;
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                Ok(())
            });
        }
        command
    }

    /// Runs `ip` inside with the arguments in `line`.
    ///
    /// # Errors
    /// When it fails; the error has what it printed.
    pub fn ip(&self, line: &str) -> Result<()> {
        checked(self.command("ip").args(line.split_whitespace())).map(drop)
    }

    /// Runs `program` inside with the arguments in `line`, and returns what it printed.
    ///
    /// # Errors
    /// When it fails; the error has what it printed.
    pub fn output(&self, program: &str, line: &str) -> Result<String> {
        checked(self.command(program).args(line.split_whitespace()))
    }

    /// Sets a sysctl given as a path below `/proc/sys`.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.run(|| fs::write(format!("/proc/sys/{key}"), value))?.with_context(|| format!("sysctl {key}={value}"))
    }

    /// Reads a sysctl given as a path below `/proc/sys`, without its line end.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn read_sysctl(&self, key: &str) -> Result<String> {
        let value = self.run(|| fs::read_to_string(format!("/proc/sys/{key}")))??;
        Ok(value.trim_end().to_owned())
    }

    /// Allows IPv6 on an interface: addresses that count at once, and nothing on the link but what a test sends.
    pub(super) fn allow_ipv6(&self, interface: &str) -> Result<()> {
        let settings = [("accept_dad", "0"), ("router_solicitations", "0"), ("disable_ipv6", "0")];
        settings.iter().try_for_each(|(key, value)| self.sysctl(&format!("net/ipv6/conf/{interface}/{key}"), value))
    }

    /// A UDP socket inside, bound to `local`, that waits 5 s for a packet.
    ///
    /// # Errors
    /// When the address is taken or not there.
    pub fn udp(&self, local: impl ToSocketAddrs + Send) -> Result<UdpSocket> {
        let socket = self.run(move || once_free(|| UdpSocket::bind(&local)))?;
        let socket = socket.with_context(|| format!("binding UDP in {}", self.name))?;
        socket.set_read_timeout(Some(patience(USUAL)))?;
        // The default holds 256 small packets, fewer than a test sends at once.
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM).context("making room for packets")?;
        Ok(socket)
    }

    /// A TCP listener inside.
    ///
    /// # Errors
    /// When the address is taken or not there.
    pub fn listen(&self, local: impl ToSocketAddrs + Send) -> Result<TcpListener> {
        self.run(move || once_free(|| TcpListener::bind(&local)))?
            .with_context(|| format!("listening in {}", self.name))
    }

    /// A TCP connection from inside to `remote`, given up after 5 s.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub fn connect(&self, remote: impl Into<SocketAddr>) -> Result<TcpStream> {
        let remote = remote.into();
        let stream = self
            .run(|| TcpStream::connect_timeout(&remote, patience(USUAL)))?
            .with_context(|| format!("connecting from {} to {remote}", self.name))?;
        stream.set_read_timeout(Some(patience(USUAL)))?;
        Ok(stream)
    }

    /// The same from one of the namespace's addresses.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub fn connect_from(&self, local: Ipv4Addr, remote: impl Into<SocketAddr>) -> Result<TcpStream> {
        let remote = remote.into();
        let stream = self.run(|| connect_from(local, remote, patience(USUAL)))??;
        stream.set_read_timeout(Some(patience(USUAL)))?;
        Ok(stream)
    }
}

/// A TCP connection from one of the addresses of the namespace that this thread is in, given up after `patience`.
///
/// # Errors
/// When it is refused or not answered.
pub fn connect_from(local: Ipv4Addr, remote: SocketAddr, patience: Duration) -> Result<TcpStream> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // It bounds how long connecting waits, too.
    setsockopt(
        &socket,
        sockopt::SendTimeout,
        &TimeVal::new(patience.as_secs().cast_signed(), patience.subsec_micros().into()),
    )?;
    // The port is chosen when the remote is known, so that many connections have room.
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((local, 0))))?;
    let connected = connect(socket.as_raw_fd(), &SockaddrStorage::from(remote));
    connected.with_context(|| format!("connecting from {local} to {remote}"))?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(0, 0))?;
    Ok(TcpStream::from(socket))
}

/// What `bind` gives once its address is free, or its error after a second.
///
/// A socket that a test has closed goes on for a moment where a test beside it starts a program: from fork to exec, the
/// program holds every socket of this process.
fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + patience(Duration::from_secs(1));
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            bound => return bound,
        }
    }
}

/// Namespaces belong to threads: what changes one does so on a thread that ends with it.
fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow::anyhow!("a thread of the lab panicked"))
}

/// Runs a command to its end.
pub(super) fn checked(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?} failed ({}): {printed}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(printed)
}
