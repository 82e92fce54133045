//! A DNS server for a handful of names (RFC 1035), whose answers may rotate.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::lab::Namespace;

pub(super) const A: u16 = 1;
const AAAA: u16 = 28;
const SERVER_FAILURE: u16 = 2;
const NAME_ERROR: u16 = 3;

type Names = Arc<Mutex<HashMap<String, Answers>>>;

/// What a name stands for: a window on its addresses that moves on, one address at a time.
struct Answers {
    addresses: Vec<IpAddr>,
    /// How many of them an answer has.
    at_once: usize,
    /// How long an answer stays the same.
    every: Duration,
    since: Instant,
}

impl Answers {
    fn now(&self) -> Vec<IpAddr> {
        let turns = self.since.elapsed().as_nanos() / self.every.as_nanos();
        self.addresses
            .iter()
            .cycle()
            .skip(turns as usize % self.addresses.len().max(1))
            .take(self.at_once)
            .copied()
            .collect()
    }
}

/// Answers A and AAAA queries until it is dropped; a name that it does not have does not exist.
pub struct Dns {
    names: Names,
    fails: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Starts answering on `address`, port 53, with records that live `ttl` seconds.
    ///
    /// # Errors
    /// When the address is taken or not there.
    pub fn new(namespace: &Namespace, address: Ipv4Addr, ttl: u32) -> Result<Self> {
        let socket = namespace.udp((address, 53))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (names, fails, over) = (Names::default(), Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let thread = thread::spawn({
            let (names, fails, over) = (Arc::clone(&names), Arc::clone(&fails), Arc::clone(&over));
            move || serve(&socket, &names, ttl, &fails, &over)
        });
        Ok(Self { names, fails, over, thread: Some(thread) })
    }

    /// Answers SERVFAIL from now on, whatever it is asked.
    pub fn fail(&self) {
        self.fails.store(true, Ordering::Relaxed);
    }

    /// Sets the addresses of a name, in place of those it had.
    pub fn set<A: Copy + Into<IpAddr>>(&self, name: &str, addresses: &[A]) {
        self.rotate(name, addresses, addresses.len(), Duration::MAX);
    }

    /// The same, but an answer has `at_once` of the addresses, and begins with the next one after `every`.
    pub fn rotate<A: Copy + Into<IpAddr>>(&self, name: &str, addresses: &[A], at_once: usize, every: Duration) {
        let addresses = addresses.iter().map(|address| (*address).into()).collect();
        let answers = Answers { addresses, at_once, every, since: Instant::now() };
        // A poisoned lock only says that a test failed elsewhere; the table is still whole.
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned(), answers);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, names: &Names, ttl: u32, fails: &AtomicBool, over: &AtomicBool) {
    let mut query = [0; 1500];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
        let found = |name: &str| names.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(Answers::now);
        if let Some(mut answer) = answer(&query[..length], found, ttl) {
            if fails.load(Ordering::Relaxed) {
                answer = failure(&query[..length]);
            }
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer to a query with these addresses, which live `ttl` seconds; none if it is no query.
pub fn reply(query: &[u8], addresses: &[Ipv4Addr], ttl: u32) -> Option<Vec<u8>> {
    answer(query, |_| Some(addresses.iter().map(|address| (*address).into()).collect()), ttl)
}

fn answer(query: &[u8], found: impl Fn(&str) -> Option<Vec<IpAddr>>, ttl: u32) -> Option<Vec<u8>> {
    let (name, end) = name(query, 12)?;
    let kind = u16_at(query, end)?;
    let found = found(&name);
    let code = if found.is_some() { 0 } else { NAME_ERROR };
    let is_wanted = |address: &IpAddr| kind == if address.is_ipv4() { A } else { AAAA };
    let addresses: Vec<IpAddr> = found.unwrap_or_default().into_iter().filter(is_wanted).collect();
    let mut answer = query[..2].to_vec();
    answer.extend((0x8580 | code).to_be_bytes()); // an authoritative answer, with recursion
    for count in [1, addresses.len() as u16, 0, 0] {
        answer.extend(count.to_be_bytes());
    }
    answer.extend(query.get(12..end + 4)?);
    for address in addresses {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        answer.extend([0xc0, 12, 0, kind as u8, 0, 1]); // the name at offset 12, the type asked for, class IN
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, octets.len() as u8]);
        answer.extend(octets);
    }
    Some(answer)
}

/// The question, and no answer.
fn failure(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2..4].copy_from_slice(&(0x8180 | SERVER_FAILURE).to_be_bytes());
    answer
}

/// The name that starts at `at` without compression, in lower case, and the offset behind it.
fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        let label = message.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
}

pub(super) fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}
