//! Who talks to whom: clients and servers of the policy, and all kinds of others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aya::maps::lpm_trie::{Key, LpmTrie};
use thulium_ebpf::abi::{Address6, RemoteAddress, RemotePrefix};
use thulium_tests::packet::random::{Chance, Talk};

use crate::{gateway::Gateway, maps::*, network, traffic::*};

/// Of which family a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

const fn v6(network: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, host)
}

/// The same cast for IPv6.
const CLIENT6: Ipv6Addr = v6(0x20, 0x10);
const CLIENT6_2: Ipv6Addr = v6(0x20, 0x11);
const GATEWAY6: Ipv6Addr = v6(0x20, 1);
const UPLINK6: Ipv6Addr = v6(0x51, 1);
const SERVER6: Ipv6Addr = v6(0x203, 0x10);
const STUN_SERVER6: Ipv6Addr = v6(0x203, 0x20);
const STRANGER6: Ipv6Addr = v6(0x203, 0x99);

/// What a flow of the policy names: host, protocol, ports.
const FLOWS4: [(Ipv4Addr, u8, [u16; 2]); 4] = [
    (SERVER, 6, [443, 443]),
    (SERVER, 17, [SIP_PORT, SIP_PORT]),
    (SERVER, 17, [16000, 16007]),
    (STUN_SERVER, 17, [19302, 19302]),
];

/// Ports of clients: kept, not kept, the host's own, the ends of the range.
const PORTS: [u16; 10] = [5060, 5061, 10000, 33000, 40000, 40001, 50000, 65535, 1, 443];

/// True if a flow of the policy names this remote.
pub(super) fn is_of_a_flow(remote: SocketAddr, protocol: u8) -> bool {
    let hosts = |host: Ipv4Addr| [IpAddr::V4(host), IpAddr::V6(if host == SERVER { SERVER6 } else { STUN_SERVER6 })];
    FLOWS4.iter().any(|(host, number, [first, last])| {
        *number == protocol && hosts(*host).contains(&remote.ip()) && (*first..=*last).contains(&remote.port())
    })
}

/// True for addresses that the policy governs: half of the LAN, and its whole prefix of IPv6.
pub(super) fn is_governed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [192, 168, 20] && address.octets()[3] < 128,
        IpAddr::V6(address) => address.segments()[..4] == [0x2001, 0xdb8, 0x20, 0],
    }
}

/// True for a client: governed, and a host to which the gateway would send through the LAN. The first address of an IPv6 network
/// means its routers (RFC 4291 §2.6.1); that of an IPv4 network is a host's like any other (kernel commit 58fee5fc8365).
pub(super) fn is_client(address: IpAddr) -> bool {
    let own = [IpAddr::V4(LAN_GATEWAY), IpAddr::V6(GATEWAY6), IpAddr::V6(v6(0x20, 0))];
    is_governed(address) && !own.contains(&address)
}

/// True for addresses that stay on the link or in the host: what has one of these is not routed.
pub(super) fn is_of_the_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V6(address) if address.is_loopback() => true,
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast() || address.is_unicast_link_local(),
    }
}

/// Anybody: most are no part of any session.
fn anybody(chance: &mut Chance, family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(chance.pick(&[
            CLIENT,
            CLIENT_2,
            PRINTER,
            LAN_GATEWAY,
            UPLINK,
            SERVER,
            STUN_SERVER,
            STRANGER,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::BROADCAST,
            Ipv4Addr::LOCALHOST,
            Ipv4Addr::new(192, 168, 20, 0),
            Ipv4Addr::new(192, 168, 20, 255),
            Ipv4Addr::new(224, 0, 0, 251),
            Ipv4Addr::new(10, 0, 0, 1),
        ])),
        Family::V6 => IpAddr::V6(chance.pick(&[
            CLIENT6,
            CLIENT6_2,
            GATEWAY6,
            UPLINK6,
            SERVER6,
            STUN_SERVER6,
            STRANGER6,
            Ipv6Addr::UNSPECIFIED,
            Ipv6Addr::LOCALHOST,
            v6(0x20, 0),
            v6(0x21, 5),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            CLIENT.to_ipv6_mapped(),
        ])),
    }
}

/// A port, often one of a flow.
fn any_port(chance: &mut Chance) -> u16 {
    let any = chance.number() as u16;
    chance.pick(&[443, SIP_PORT, 15999, 16000, 16008, 19302, 53, 0, any, any])
}

/// Anybody to anybody.
pub(super) fn talk_of_anybody(chance: &mut Chance, family: Family) -> Talk {
    let source = SocketAddr::new(anybody(chance, family), any_port(chance));
    let destination = SocketAddr::new(anybody(chance, family), any_port(chance));
    Talk { source, destination, protocol: chance.pick(&[6, 17]) }
}

/// A client to a server of the policy, most of the time.
pub(super) fn talk_out(chance: &mut Chance, family: Family) -> Talk {
    if chance.once_in(5) {
        return talk_of_anybody(chance, family);
    }
    let (host, protocol, ports) = chance.pick(&FLOWS4);
    let (client, server) = match family {
        Family::V4 => (IpAddr::V4(chance.pick(&[CLIENT, CLIENT_2])), IpAddr::V4(host)),
        Family::V6 => (
            IpAddr::V6(chance.pick(&[CLIENT6, CLIENT6_2])),
            IpAddr::V6(if host == SERVER { SERVER6 } else { STUN_SERVER6 }),
        ),
    };
    let (source, destination) =
        (SocketAddr::new(client, chance.pick(&PORTS)), SocketAddr::new(server, chance.pick(&ports)));
    Talk { source, destination, protocol }
}

impl Gateway {
    /// Governs IPv6, too, with the same flows to the same hosts, and wants TLS 1.2 of `web`. One client of each family is known
    /// by its hardware address, the other is not.
    pub(super) fn prepare(&mut self) {
        network::add_neighbour(CLIENT.into());
        network::add_neighbour(CLIENT6.into());
        self.govern_ipv6(v6(0x20, 0).into(), SERVER6.into());
        let stun = RemoteAddress { hosts: 1 << STUN_HOST, until: u64::MAX };
        let mut remotes: LpmTrie<_, RemotePrefix<Address6>, RemoteAddress> =
            self.object().map_mut("remotes6").unwrap().try_into().unwrap();
        remotes.insert(&Key::new(32 + 128, RemotePrefix::new(STUN_SERVER6.into())), stun, 0).unwrap();
        self.set_floor(WEB, 3);
        // Neither the clock nor a client's share has a say here.
        self.set(|settings| {
            (settings.session_cost, settings.per_client, settings.ports_per_client) = (1, u64::MAX, u64::MAX);
            (settings.udp_idle, settings.tcp_idle) = (3600 * 1_000_000_000, 3600 * 1_000_000_000);
        });
    }
}
