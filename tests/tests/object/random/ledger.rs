//! What may pass: what the policy names, and what belongs to a session that such a packet opened.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use thulium_tests::packet::random::Talk;

use super::{
    cast::is_of_a_flow,
    reading::{Place, Read},
};
use crate::traffic::{ACK, FIN, RST, SYN, UPLINK};

/// From which side a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum From {
    Lan,
    World,
}

/// Addresses, identification and protocol of a datagram that comes in fragments, and from where.
type Datagram = (From, IpAddr, IpAddr, u32, u8);
/// An endpoint of a protocol.
type Endpoint = (SocketAddr, u8);

/// Everything that was opened.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// As the client sees them.
    sessions: HashSet<Talk>,
    /// The same, to choose one from.
    pub(super) known: Vec<Talk>,
    /// What the world sees of a client's endpoint, and the other way about.
    outside: HashMap<Endpoint, SocketAddr>,
    inside: HashMap<Endpoint, SocketAddr>,
    /// Ports of first fragments that passed.
    datagrams: HashMap<Datagram, (u16, u16)>,
}

impl Ledger {
    /// Forgets the sessions of IPv4. Those of IPv6 hold no ports, and there is room for all of them.
    pub(super) fn forget(&mut self) {
        self.sessions.retain(|talk| talk.source.is_ipv6());
        self.known.retain(|talk| talk.source.is_ipv6());
        self.datagrams.retain(|(_, source, ..), _| source.is_ipv6());
        self.outside.clear();
        self.inside.clear();
    }

    /// A session was opened.
    pub(super) fn opened(&mut self, talk: Talk) {
        if self.sessions.insert(talk) {
            self.known.push(talk);
        }
    }

    /// A session ended, and with its client endpoint's last one the endpoint has no outside any more.
    pub(super) fn ended(&mut self, talk: &Talk) {
        self.sessions.remove(talk);
        self.known.retain(|known| known != talk);
        if !self.known.iter().any(|known| (known.source, known.protocol) == (talk.source, talk.protocol))
            && let Some(outside) = self.outside.remove(&(talk.source, talk.protocol))
        {
            self.inside.remove(&(outside, talk.protocol));
        }
    }

    /// A packet's conversation; of a later fragment, if its first one passed.
    fn talk(&self, from: From, read: &Read) -> Option<Talk> {
        let mut talk = Talk { source: read.source, destination: read.destination, protocol: read.protocol };
        if read.place == Place::Later {
            let (source, destination) = self.datagrams.get(&datagram(from, read))?;
            talk.source.set_port(*source);
            talk.destination.set_port(*destination);
        }
        Some(talk)
    }

    /// True if the session is open, as its client sees it.
    pub(super) fn is_open(&self, talk: &Talk) -> bool {
        self.sessions.contains(talk)
    }

    /// The conversation of a packet of the LAN, if it may leave; `is_sender` says whose may.
    pub(super) fn out(&self, read: &Read, is_sender: fn(IpAddr) -> bool) -> Option<Talk> {
        let talk = self.talk(From::Lan, read)?;
        let opens = talk.protocol != 6 || read.flags & (SYN | ACK | FIN | RST) == SYN;
        let is_named = is_sender(talk.source.ip()) && is_of_a_flow(talk.destination, talk.protocol) && opens;
        (is_named || self.is_open(&talk)).then_some(talk)
    }

    /// The conversation of a packet of the world, as its client sees it, if it may come in.
    pub(super) fn inward(&self, read: &Read) -> Option<Talk> {
        let talk = self.talk(From::World, read)?;
        let client = self.owner(talk.destination, talk.protocol)?;
        let seen_inside = Talk { destination: client, ..talk }.reversed();
        self.is_open(&seen_inside).then_some(seen_inside)
    }

    /// The client whose endpoint outside this is.
    pub(super) fn owner(&self, outside: SocketAddr, protocol: u8) -> Option<SocketAddr> {
        if outside.is_ipv6() { Some(outside) } else { self.inside.get(&(outside, protocol)).copied() }
    }

    /// What the world sees of a client's endpoint.
    pub(super) fn outside(&self, client: SocketAddr, protocol: u8) -> Option<SocketAddr> {
        if client.is_ipv6() { Some(client) } else { self.outside.get(&(client, protocol)).copied() }
    }

    /// A packet of `talk` left; its source was `outside` then. One endpoint has one outside, and none has two owners.
    pub(super) fn left(&mut self, read: &Read, talk: Talk, outside: SocketAddr) -> Result<(), String> {
        self.opened(talk);
        self.passed(From::Lan, read, &talk);
        let address = if outside.is_ipv6() { talk.source.ip() } else { IpAddr::V4(UPLINK) };
        if outside.ip() != address {
            return Err(format!("it has the source {outside}"));
        }
        if read.place == Place::Later || outside.is_ipv6() {
            return Ok(());
        }
        let client = talk.source;
        let known = *self.outside.entry((client, talk.protocol)).or_insert(outside);
        let owner = *self.inside.entry((outside, talk.protocol)).or_insert(client);
        if known != outside || owner != client || outside.port() == 0 {
            return Err(format!("{client} is {outside}, but was {known}, and that is {owner}"));
        }
        Ok(())
    }

    /// A packet passed: if it is a first fragment, others may follow.
    pub(super) fn passed(&mut self, from: From, read: &Read, arrived: &Talk) {
        if read.place == Place::First {
            self.datagrams.insert(datagram(from, read), (arrived.source.port(), arrived.destination.port()));
        }
    }
}

fn datagram(from: From, read: &Read) -> Datagram {
    (from, read.source.ip(), read.destination.ip(), read.id, read.protocol)
}
