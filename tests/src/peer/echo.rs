//! A UDP server that answers every datagram with its bytes, and if wanted with where it came from.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::lab::Namespace;

/// Answers datagrams on a few ports until it is dropped.
pub struct Echo {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// Starts answering on these addresses, with where a datagram came from and its bytes: see [`ask`].
    ///
    /// # Errors
    /// When an address is taken or not there.
    pub fn new(namespace: &Namespace, addresses: &[SocketAddr]) -> Result<Self> {
        Self::start(namespace, addresses, |from, bytes| [format!("{from:<SEEN$}").as_bytes(), bytes].concat())
    }

    /// Starts answering on this address, with the bytes alone.
    ///
    /// # Errors
    /// When the address is taken or not there.
    pub fn verbatim(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        Self::start(namespace, &[address], |_, bytes| bytes.to_vec())
    }

    fn start(namespace: &Namespace, addresses: &[SocketAddr], answer: Answer) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let sockets = addresses.iter().map(|address| namespace.udp(address)).collect::<Result<Vec<_>>>()?;
        let threads = sockets.into_iter().map(|socket| {
            let over = Arc::clone(&over);
            thread::spawn(move || serve(&socket, answer, &over))
        });
        Ok(Self { threads: threads.collect(), over })
    }
}

/// From a datagram's sender and bytes to the answer.
type Answer = fn(SocketAddr, &[u8]) -> Vec<u8>;

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Sends `payload` from `client` to an [`Echo`] at `server`; returns the address that the server saw.
///
/// # Errors
/// When no answer comes, or one with other bytes or from elsewhere.
pub fn ask(client: &UdpSocket, server: SocketAddr, payload: &[u8]) -> Result<SocketAddr> {
    client.send_to(payload, server)?;
    let mut buffer = [0; LONGEST];
    let (length, from) = client.recv_from(&mut buffer).with_context(|| format!("no answer from {server}"))?;
    anyhow::ensure!(from == server, "an answer from {from} instead of {server}");
    let (seen, echoed) = buffer[..length].split_at_checked(SEEN).context("a short answer")?;
    anyhow::ensure!(echoed == payload, "the answer has other bytes");
    Ok(String::from_utf8_lossy(seen).trim_end().parse()?)
}

/// The longest datagram that there can be.
const LONGEST: usize = 65_535;
/// Length of the address at the start of an answer.
const SEEN: usize = 24;

fn serve(socket: &UdpSocket, answer: Answer, over: &AtomicBool) {
    let _ = socket.set_read_timeout(Some(Duration::from_millis(50)));
    let mut buffer = [0; LONGEST];
    while !over.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let _ = socket.send_to(&answer(from, &buffer[..length]), from);
            }
            // A timeout, or an ICMP error for an earlier answer: neither ends the server.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return,
            Err(_) => {}
        }
    }
}
