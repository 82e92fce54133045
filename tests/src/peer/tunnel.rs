//! A link without link headers, as PPPoE and WireGuard are: two tun interfaces, and a thread that carries packets between them.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::lab::Namespace;

/// Milliseconds after which the thread looks whether the link is to end.
const LOOK: u8 = 50;

/// Carries packets until it is dropped; the interfaces go with it.
pub struct Tunnel {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// Makes an interface in each of two namespaces, and carries packets between them.
    ///
    /// # Errors
    /// Without `/dev/net/tun`, or when a name is taken.
    pub fn new(one: (&Namespace, &str), other: (&Namespace, &str)) -> Result<Self> {
        let ends = [open(one)?, open(other)?];
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || carry(&ends, &end));
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open((namespace, name): (&Namespace, &str)) -> Result<File> {
    namespace.run(|| {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").context("opening /dev/net/tun")?;
        // SAFETY: plain integers and byte arrays.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: the request lives through the call.
        let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        nix::errno::Errno::result(made).with_context(|| format!("making {name}"))?;
        Ok(file)
    })?
}

fn carry(ends: &[File; 2], over: &AtomicBool) {
    let mut packet = vec![0; 65_536];
    while !over.load(Ordering::Relaxed) {
        let mut ready = ends.each_ref().map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
        if poll(&mut ready, PollTimeout::from(LOOK)).is_err() {
            continue;
        }
        let ready = ready.map(|end| end.any().unwrap_or(false));
        for (from, to) in [(0, 1), (1, 0)] {
            if ready[from]
                && let Ok(length) = (&ends[from]).read(&mut packet)
            {
                // An interface that is down refuses it: then it is lost, as on any link.
                let _ = (&ends[to]).write(&packet[..length]);
            }
        }
    }
}
