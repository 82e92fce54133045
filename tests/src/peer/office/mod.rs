//! An office at work: clients with a SIP registration, a call and an HTTPS connection each, and servers that note by which public
//! address each of them comes.
//!
//! A client says who it is, by each of its sockets, ten times a second; the server answers with the address that it saw.

mod clients;
mod servers;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::sip::RTP_PORT;
use crate::lab::{Lab, client, within};

/// What a client does; each is a socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It keeps its registration alive.
    Sip,
    /// It talks.
    Media,
    /// It asks the web server.
    Web,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Sip, Self::Media, Self::Web];
}

/// Something of a client that arrived at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The last part of the client's address.
    pub host: u8,
    /// What it was about.
    pub kind: Kind,
    /// The client's public address.
    pub address: Ipv4Addr,
}

/// How often a client says something by each of its sockets.
const PACE: Duration = Duration::from_millis(100);
/// Length of what a client says, and of the answer.
const SAID: usize = 4;

/// Clients and servers, which talk until it is dropped.
pub struct Office {
    hosts: Vec<u8>,
    ledger: Arc<Ledger>,
    threads: Vec<JoinHandle<()>>,
}

impl Office {
    /// Starts the servers on `server`, and the clients with the addresses [`client`] of `hosts`, which the LAN has.
    ///
    /// # Errors
    /// When an address or a port is taken or not there.
    pub fn new(lab: &Lab, server: Ipv4Addr, hosts: impl IntoIterator<Item = u8>) -> Result<Self> {
        let mut office = Self { hosts: Vec::from_iter(hosts), ledger: Arc::default(), threads: Vec::new() };
        for (kind, port) in [(Kind::Sip, 15_060), (Kind::Media, RTP_PORT)] {
            let socket = lab.internet.udp((server, port))?;
            office.begin(move |ledger| servers::datagrams(&socket, kind, ledger));
        }
        let listener = lab.internet.listen((server, 443))?;
        office.begin(move |ledger| servers::web(&listener, ledger));
        for host in office.hosts.clone() {
            for (kind, own, port) in [(Kind::Sip, 5060, 15_060), (Kind::Media, 5004, RTP_PORT)] {
                let socket = lab.lan.udp((client(host), own))?;
                socket.connect((server, port))?;
                office.begin(move |ledger| clients::phone(host, kind, &socket, ledger));
            }
            // A thread is where the one that started it was: so this one connects from the LAN.
            lab.lan.run(|| office.begin(move |ledger| clients::browser(host, (server, 443).into(), ledger)))?;
        }
        Ok(office)
    }

    fn begin(&mut self, work: impl FnOnce(&Arc<Ledger>) + Send + 'static) {
        let ledger = Arc::clone(&self.ledger);
        self.threads.push(thread::spawn(move || work(&ledger)));
    }

    /// Everything that arrived at the servers since the last call, in its order.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *locked(&self.ledger.seen))
    }

    /// Waits until every client was answered, by each of its sockets, as coming from `address`, after `since`.
    ///
    /// # Errors
    /// When that is not so after `usual`; the error says who was not.
    pub fn wait_by(&self, address: Ipv4Addr, since: Instant, usual: Duration) -> Result<()> {
        self.wait_for(&Kind::ALL, address, since, usual)
    }

    /// The same by the sockets of some kinds.
    ///
    /// # Errors
    /// As for [`Office::wait_by`].
    pub fn wait_for(&self, kinds: &[Kind], address: Ipv4Addr, since: Instant, usual: Duration) -> Result<()> {
        within(usual, &format!("every client to be answered at {address}"), || {
            let answered = locked(&self.ledger.answered);
            let sockets = self.hosts.iter().flat_map(|host| kinds.iter().map(|kind| (*host, *kind)));
            let is_so = |(at, by): &(Instant, Ipv4Addr)| *at > since && *by == address;
            let missing: Vec<_> = sockets.filter(|socket| !answered.get(socket).is_some_and(is_so)).collect();
            ensure!(missing.is_empty(), "{} sockets were not: {missing:?}", missing.len());
            Ok(())
        })
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.ledger.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What clients and servers note.
#[derive(Default)]
struct Ledger {
    seen: Mutex<Vec<Seen>>,
    /// Per client and kind: when the newest answer came, and for which public address.
    answered: Mutex<BTreeMap<(u8, Kind), (Instant, Ipv4Addr)>>,
    over: AtomicBool,
}

impl Ledger {
    fn note_seen(&self, said: &[u8], kind: Kind, address: Ipv4Addr) {
        locked(&self.seen).push(Seen { host: said[0], kind, address });
    }

    fn note_answer(&self, host: u8, kind: Kind, answer: [u8; SAID]) {
        locked(&self.answered).insert((host, kind), (Instant::now(), answer.into()));
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A poisoned lock only says that a test failed elsewhere; what it holds is still whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
