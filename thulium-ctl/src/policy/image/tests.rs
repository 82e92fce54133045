use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use proptest::prelude::*;
use thulium_ebpf::abi::{RemoteAddress, SlotName};

use super::*;
use crate::policy::{Flow, Host, PortRange, Protocol, parse};

const SMALLEST: &str = "system: acme\nlan: {interfaces: [eth1]}\nuplinks: [{interface: eth0}]\n";

fn policy(text: &str) -> Policy {
    parse("test.yaml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn slots(policy: &Policy) -> Slots {
    Slots::assign(&SlotNames::default(), policy)
}

/// What the kernel's longest-prefix match finds: bits of the key bytes, most significant first.
fn longest<D>(entries: &[PrefixEntry<D>], key: &[u8], bytes: impl Fn(&D) -> Vec<u8>) -> u64 {
    let matches = |entry: &&PrefixEntry<D>| {
        let data = bytes(&entry.data);
        (0..entry.prefix_len as usize).all(|bit| {
            let at = |bytes: &[u8]| bytes[bit / 8] >> (7 - bit % 8) & 1;
            at(&data) == at(key)
        })
    };
    entries.iter().filter(matches).max_by_key(|entry| entry.prefix_len).map_or(0, |entry| entry.vector)
}

/// The hosts that the fixed addresses of a policy lead to, as the datapath's map holds them.
fn remotes(policy: &Policy, slots: &Slots) -> BTreeMap<IpNet, RemoteAddress> {
    let mut own: BTreeMap<IpNet, RemoteAddress> = BTreeMap::new();
    for host in &policy.hosts {
        let bit = 1 << slots.host(&host.name).expect("a slot");
        for prefix in &host.addresses {
            own.entry(prefix.trunc()).or_default().hosts |= bit;
        }
    }
    with_surrounding(&own)
}

/// The hosts of the longest prefix around `remote`.
fn hosts_of(remotes: &BTreeMap<IpNet, RemoteAddress>, remote: IpAddr) -> u64 {
    let around = remotes.iter().filter(|(prefix, _)| prefix.contains(&remote));
    around.max_by_key(|(prefix, _)| prefix.prefix_len()).map_or(0, |(_, remote)| remote.hosts)
}

fn client4(data: &ClientPrefix<Address4>) -> Vec<u8> {
    [data.generation.to_ne_bytes().as_slice(), &data.address.octets()].concat()
}

fn client6(data: &ClientPrefix<Address6>) -> Vec<u8> {
    [data.generation.to_ne_bytes().as_slice(), &data.address.octets()].concat()
}

fn port_key(data: &PortPrefix) -> Vec<u8> {
    [data.generation.to_ne_bytes().as_slice(), &[data.protocol], &data.port, &[data.pad]].concat()
}

/// The slot of the flow that the datapath would find.
fn evaluate(image: &Image, client: IpAddr, hosts: u64, protocol: u8, port: u16) -> Option<u8> {
    let generation = image.generation;
    let client = match client {
        IpAddr::V4(client) => {
            longest(&image.clients4, &client4(&ClientPrefix::new(generation, client.into())), client4)
        }
        IpAddr::V6(client) => {
            longest(&image.clients6, &client6(&ClientPrefix::new(generation, client.into())), client6)
        }
    };
    let key = PortPrefix { generation, protocol, port: port.to_be_bytes(), pad: 0 };
    let ports = longest(&image.ports, &port_key(&key), port_key);
    let named = (0..HOST_SLOTS).filter(|slot| hosts >> slot & 1 == 1);
    let vector = client & ports & named.fold(0, |vector, slot| vector | image.flows.hosts[slot]);
    (vector != 0).then(|| image.flows.slots[vector.trailing_zeros() as usize])
}

#[test]
fn the_smallest_policy_admits_thuliums_flows_to_their_hosts() {
    let policy = policy(SMALLEST);
    let slots = slots(&policy);
    let image = compile(&policy, &slots, &["192.168.20.7/24".parse().expect("a prefix")], 3).expect("an image");
    assert_eq!(image.clients4.len(), 1);
    assert_eq!(image.clients4[0].prefix_len, 56);
    assert_eq!(image.clients4[0].data.address.octets(), [192, 168, 20, 0]);
    assert!(image.clients6.is_empty());
    assert_eq!(image.settings.governs_ipv6, 0);
    let (thulium, stun) = (slots.host("thulium").expect("a slot"), slots.host("stun").expect("a slot"));
    assert_eq!(image.flows.hosts[usize::from(thulium)], 0b0111);
    assert_eq!(image.flows.hosts[usize::from(stun)], 0b1000);
    let floor = |flow| image.flows.tls_min[usize::from(slots.flow(flow).expect("a slot"))];
    assert_eq!((floor("web"), floor("sip")), (3, 0), "the web application's flow has a TLS floor of 1.2");
    assert_eq!(image.settings.udp_idle, 300_000_000_000);
    assert_eq!(image.settings.session_cost, 5_000_000);
    assert_eq!(image.settings.pass_unmatched, 0);
}

#[test]
fn ping_is_a_flow_of_both_families() {
    let policy = policy(&format!(
        "{SMALLEST}flows: [{{ name: ping, to: {{ addresses: [203.0.113.7] }}, ports: [443/tcp, icmp] }}]"
    ));
    let clients = ["192.168.20.0/24".parse().expect("a prefix"), "2001:db8:20::/64".parse().expect("a prefix")];
    let image = compile(&policy, &slots(&policy), &clients, 3).expect("an image");
    let ping = |protocol| PrefixEntry {
        prefix_len: 32 + 8 + 16,
        data: PortPrefix { generation: 3, protocol, port: [0, 0], pad: 0 },
        vector: 1,
    };
    assert!(image.ports.contains(&ping(1)) && image.ports.contains(&ping(58)), "{:?}", image.ports);
    assert_eq!(image.ports.len(), 3);
    assert_eq!(image.settings.governs_ipv6, 1);
    assert_eq!(image.clients6[0].prefix_len, 96);
}

#[test]
fn the_settings_are_the_policys() {
    let policy = policy(&format!(
        "{SMALLEST}refuse: reject\nmss_clamp: 1400\nsessions: {{ ports_per_client: 99, per_client: 7 }}\n"
    ));
    let settings = compile(&policy, &slots(&policy), &[], 1).expect("an image").settings;
    assert_eq!((settings.reject, settings.mss_clamp), (1, 1400));
    assert_eq!((settings.ports_per_client, settings.per_client), (99, 7));
    let smallest = self::policy(SMALLEST);
    let default = compile(&smallest, &slots(&smallest), &[], 1).expect("an image").settings;
    assert_eq!((default.reject, default.mss_clamp, default.ports_per_client), (0, MSS_AUTO, 1024));
}

#[test]
fn a_name_keeps_its_slot_when_flows_move_and_leave() {
    let first = policy(SMALLEST);
    let before = slots(&first);
    let mut second = first.clone();
    second.flows.reverse();
    second.flows.remove(1);
    second.flows.insert(0, Flow { name: "new".to_owned(), ..second.flows[0].clone() });
    let after = Slots::assign(&before.names(), &second);
    for flow in &first.flows {
        assert_eq!(before.flow(&flow.name), after.flow(&flow.name), "{}", flow.name);
    }
    assert_eq!(after.flow("new"), Some(4), "a slot that was never used");
    assert_eq!(after.reused_flows, 0);
    let image = compile(&second, &after, &[], 1).expect("an image");
    assert_eq!(image.flows.slots[0], 4, "precedence is by rank, the slot is by name");
    let web = usize::from(after.flow("web").expect("a slot"));
    assert_eq!(image.flows.tls_min[web], 3, "the TLS floor goes with the slot");
}

#[test]
fn a_lan_interface_keeps_its_slot() {
    let mut policy = policy(SMALLEST);
    policy.lan.interfaces = vec!["eth1".to_owned(), "eth2".to_owned()];
    let before = slots(&policy);
    assert_eq!((before.lan("eth1"), before.lan("eth2")), (Some(0), Some(1)));
    policy.lan.interfaces = vec!["eth3".to_owned(), "eth2".to_owned()];
    let after = Slots::assign(&before.names(), &policy);
    assert_eq!((after.lan("eth2"), after.lan("eth3"), after.reused_lans), (Some(1), Some(2), 0));
}

#[test]
fn a_slot_is_reused_only_when_none_is_left() {
    let policy = policy(SMALLEST);
    let mut previous = [SlotName::FREE; FLOW_SLOTS];
    for (index, slot) in previous.iter_mut().enumerate() {
        *slot = SlotName::new(&format!("old{index}"));
    }
    previous[9] = SlotName::new("web");
    let slots = Slots::assign(&SlotNames { flows: previous.to_vec(), ..SlotNames::default() }, &policy);
    assert_eq!(slots.flow("web"), Some(9));
    assert_eq!(slots.reused_flows, 0b111);
    assert!(policy.flows.iter().all(|flow| slots.flow(&flow.name).is_some()));
}

#[test]
fn slots_of_another_policy_are_an_error() {
    let policy = policy(SMALLEST);
    let mut slots = slots(&policy);
    slots.flows[0] = SlotName::FREE;
    assert_eq!(compile(&policy, &slots, &[], 1), Err(ImageError::NoSlot("web".to_owned())));
}

fn any_range() -> impl Strategy<Value = PortRange> {
    (any::<bool>(), 1_u16..200, 0_u16..100).prop_map(|(tcp, first, more)| PortRange {
        protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
        first,
        last: first + more,
    })
}

/// Few addresses, so that prefixes nest and meet.
fn any_prefix() -> impl Strategy<Value = IpNet> {
    (any::<bool>(), 0_u8..16, 0_u8..=6).prop_map(|(v6, last, open)| {
        let address = remote(v6, last);
        let bits = if v6 { 128 } else { 32 };
        IpNet::new(address, bits - open).expect("a prefix").trunc()
    })
}

fn remote(v6: bool, last: u8) -> IpAddr {
    match v6 {
        false => Ipv4Addr::new(203, 0, 113, last).into(),
        true => Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, last.into()).into(),
    }
}

fn client(v6: bool) -> IpAddr {
    match v6 {
        false => Ipv4Addr::new(192, 168, 20, 9).into(),
        true => Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 9).into(),
    }
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let hosts = prop::collection::vec(prop::collection::btree_set(any_prefix(), 0..5), 1..6);
    let flows = prop::collection::vec((any::<usize>(), prop::collection::btree_set(any_range(), 1..5)), 0..12);
    (hosts, flows).prop_map(|(hosts, flows)| {
        let mut policy = policy(SMALLEST);
        let count = hosts.len();
        let host = |(index, addresses): (usize, BTreeSet<IpNet>)| Host {
            name: format!("host{index}"),
            names: Vec::new(),
            addresses: addresses.into_iter().collect(),
            keep_old: std::time::Duration::ZERO,
            private_answers: false,
        };
        let flow = |(index, (host, ports)): (usize, (usize, BTreeSet<PortRange>))| Flow {
            name: format!("flow{index}"),
            host: format!("host{}", host % count),
            ports,
            tls_min: None,
        };
        policy.hosts = hosts.into_iter().enumerate().map(host).collect();
        policy.flows = flows.into_iter().enumerate().map(flow).collect();
        policy
    })
}

/// First match, flow by flow, as the policy's author reads it.
fn first_match(policy: &Policy, remote: IpAddr, protocol: Protocol, port: u16) -> Option<&str> {
    let host = |name: &str| policy.hosts.iter().find(|host| host.name == name).expect("a host");
    let flow = policy.flows.iter().find(|flow| {
        let ports = &flow.ports;
        host(&flow.host).addresses.iter().any(|prefix| prefix.contains(&remote))
            && ports.iter().any(|range| range.protocol == protocol && (range.first..=range.last).contains(&port))
    })?;
    Some(&flow.name)
}

proptest! {
    #[test]
    fn the_image_finds_the_first_flow_that_matches(
        policy in any_policy(),
        packets in prop::collection::vec((any::<bool>(), 0_u8..20, any::<bool>(), 1_u16..320), 1..40),
    ) {
        // Slots in another order than the policy's: others had the first ones.
        let past = [SlotName::new("past"), SlotName::new("flow3"), SlotName::new("host2")];
        let previous = SlotNames { flows: past.to_vec(), hosts: past.to_vec(), ..SlotNames::default() };
        let slots = Slots::assign(&previous, &policy);
        let clients = ["192.168.20.0/24", "2001:db8:20::/64"].map(|prefix| prefix.parse().expect("a prefix"));
        let image = compile(&policy, &slots, &clients, 7).expect("an image");
        let remotes = remotes(&policy, &slots);
        for (v6, last, tcp, port) in packets {
            let remote = remote(v6, last);
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            let hosts = hosts_of(&remotes, remote);
            let found = evaluate(&image, client(v6), hosts, protocol.numbers()[0], port);
            let expected = first_match(&policy, remote, protocol, port).and_then(|name| slots.flow(name));
            prop_assert_eq!(found, expected, "{} {}/{}", remote, port, protocol);
            prop_assert_eq!(evaluate(&image, Ipv4Addr::new(10, 0, 0, 1).into(), hosts, protocol.numbers()[0], port), None);
        }
    }

    #[test]
    fn no_two_prefixes_of_ports_are_the_same(policy in any_policy()) {
        let image = compile(&policy, &slots(&policy), &[], 1).expect("an image");
        let mut keys = image.ports.iter().map(|entry| (entry.prefix_len, entry.data.protocol, entry.data.port)).collect::<Vec<_>>();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), image.ports.len());
    }
}
