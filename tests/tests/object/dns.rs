//! DNS replies on their way to a client teach the names of the policy their addresses.

mod draft;
mod shapes;
mod spoofed;
mod transport;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::maps::{MapData, RingBuf};
use thulium_ebpf::abi::{Address4, Address6, Name, NameEntry, Query, QueryKey, RemoteAddress};

use self::draft::Draft;
use crate::{
    gateway::{Action, Gateway, Hook, Ran},
    maps::{SERVER_HOST, STUN_HOST, now},
    traffic::*,
};

/// A resolver of the world that the policy trusts; the other one is the gateway itself.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
/// The same by IPv6.
const RESOLVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0x53);

/// A name of the host [`SERVER_HOST`].
const NAME: &str = "sip.thulium.com";
/// A name of the same host, which may have private addresses.
const PRIVATE: &str = "nas.thulium.com";
/// All names of [`STUN_HOST`].
const WILDCARD: &str = "*.turn.thulium.com";
/// Another name of the policy.
const OTHER: &str = "stun.thulium.com";

/// How long addresses are kept after their TTL, seconds.
const KEEP: u64 = 3600;
/// The TTL of all replies, seconds.
const TTL: u32 = 300;

/// Where a client asks from.
const CLIENT_PORT: u16 = 33_000;

const SERVER_BIT: u64 = 1 << SERVER_HOST;
const STUN_BIT: u64 = 1 << STUN_HOST;

/// A gateway whose policy has names, and trusts two resolvers of each family.
fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    for resolver in [LAN_GATEWAY, RESOLVER] {
        gateway.hash("resolvers4").insert(Address4::from(resolver), 1_u32, 0).unwrap();
    }
    gateway.hash("resolvers6").insert(Address6::from(RESOLVER6), 1_u32, 0).unwrap();
    let names =
        [(NAME, SERVER_BIT, 0), (PRIVATE, SERVER_BIT, SERVER_BIT), (WILDCARD, STUN_BIT, 0), (OTHER, STUN_BIT, 0)];
    for (name, hosts, private) in names {
        let entry = NameEntry { hosts, private, keep: KEEP * 1_000_000_000 };
        gateway.hash("names").insert(key(name), entry, 0).unwrap();
    }
    gateway
}

/// A name as a key of `names`.
fn key(name: &str) -> Name {
    let mut key = Name { bytes: [0; 256] };
    let bytes = draft::name(name);
    key.bytes[..bytes.len()].copy_from_slice(&bytes);
    key
}

/// The client asks a resolver.
fn question(resolver: Ipv4Addr, message: &Draft) -> Vec<u8> {
    Ipv4::new(CLIENT, resolver).udp(CLIENT_PORT, 53, &message.0)
}

/// The resolver replies.
fn reply(resolver: Ipv4Addr, message: &Draft) -> Vec<u8> {
    Ipv4::new(resolver, CLIENT).udp(53, CLIENT_PORT, &message.0)
}

impl Gateway {
    /// Hands a packet to one of the two programs, which never changes anything, nor is in its way.
    fn overhears(&self, hook: Hook, packet: &[u8]) {
        let ran = self.send(hook, packet);
        assert_eq!(ran, Ran { action: Action::Pass, packet: packet.to_vec(), mark: 0 }, "{hook:?}");
    }

    /// The client asks for a name, and has this reply by IPv4.
    fn resolves(&self, query: &Draft, message: &Draft) {
        self.overhears(Hook::Queries, &question(RESOLVER, query));
        self.overhears(Hook::Replies, &reply(RESOLVER, message));
    }

    /// What was learned since the last call: addresses, hosts, and for how long, in seconds.
    fn take_learned(&mut self) -> Vec<(IpAddr, u64, u64)> {
        let now = now();
        let seconds = |value: RemoteAddress| (value.until.saturating_sub(now) + 500_000_000) / 1_000_000_000;
        let mut all = Vec::new();
        let mut learned = self.hash::<Address4, RemoteAddress>("learned4");
        for (address, value) in learned.iter().map(Result::unwrap).collect::<Vec<_>>() {
            all.push((IpAddr::from(address), value.hosts, seconds(value)));
            learned.remove(&address).unwrap();
        }
        let mut learned = self.hash::<Address6, RemoteAddress>("learned6");
        for (address, value) in learned.iter().map(Result::unwrap).collect::<Vec<_>>() {
            all.push((IpAddr::from(address), value.hosts, seconds(value)));
            learned.remove(&address).unwrap();
        }
        all.sort_unstable();
        all
    }

    /// The addresses that were learned for the server since the last call, all of them for as long as they should be.
    fn learned_for_server(&mut self) -> Vec<IpAddr> {
        let learned = self.take_learned();
        for (address, hosts, seconds) in &learned {
            assert_eq!((*hosts, *seconds), (SERVER_BIT, u64::from(TTL) + KEEP), "{address}");
        }
        learned.into_iter().map(|(address, ..)| address).collect()
    }

    /// The messages that the daemon was handed since the last call.
    fn handed_over(&mut self) -> Vec<Vec<u8>> {
        let mut ring: RingBuf<&mut MapData> = self.object().map_mut("replies").unwrap().try_into().unwrap();
        let mut messages = Vec::new();
        while let Some(record) = ring.next() {
            let length = u32::from_ne_bytes(record[..4].try_into().unwrap()) as usize;
            assert_eq!(record.len(), 8 + length);
            messages.push(record[8..].to_vec());
        }
        messages
    }

    /// Queries that wait for a reply.
    fn waiting(&mut self) -> usize {
        let four = self.hash::<QueryKey<Address4>, Query>("queries4").keys().count();
        four + self.hash::<QueryKey<Address6>, Query>("queries6").keys().count()
    }
}

/// 203.0.113.`last`.
fn public(last: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, last).into()
}
