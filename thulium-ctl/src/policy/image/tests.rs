use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
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
    Slots::assign(&[], &[], policy)
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
fn remotes(policy: &Policy, slots: &Slots) -> BTreeMap<Ipv4Net, RemoteAddress> {
    let mut own: BTreeMap<Ipv4Net, RemoteAddress> = BTreeMap::new();
    for host in &policy.hosts {
        let bit = 1 << slots.host(&host.name).expect("a slot");
        for prefix in &host.addresses {
            let IpNet::V4(prefix) = prefix else { continue };
            own.entry(prefix.trunc()).or_default().hosts |= bit;
        }
    }
    with_surrounding(&own)
}

/// The hosts of the longest prefix around `remote`.
fn hosts_of(remotes: &BTreeMap<Ipv4Net, RemoteAddress>, remote: Ipv4Addr) -> u64 {
    let around = remotes.iter().filter(|(prefix, _)| prefix.contains(&remote));
    around.max_by_key(|(prefix, _)| prefix.prefix_len()).map_or(0, |(_, remote)| remote.hosts)
}

fn client_key(data: &ClientPrefix<Address4>) -> Vec<u8> {
    [data.generation.to_ne_bytes(), data.address.octets()].concat()
}

fn port_key(data: &PortPrefix) -> Vec<u8> {
    [data.generation.to_ne_bytes().as_slice(), &[data.protocol], &data.port, &[data.pad]].concat()
}

/// The slot of the flow that the datapath would find.
fn evaluate(image: &Image, client: Ipv4Addr, hosts: u64, protocol: Protocol, port: u16) -> Option<u8> {
    let generation = image.generation;
    let client = longest(&image.clients, &client_key(&ClientPrefix::new(generation, client.into())), client_key);
    let key = PortPrefix { generation, protocol: protocol.number(), port: port.to_be_bytes(), pad: 0 };
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
    assert_eq!(image.clients.len(), 1);
    assert_eq!(image.clients[0].prefix_len, 56);
    assert_eq!(image.clients[0].data.address.octets(), [192, 168, 20, 0]);
    let (thulium, stun) = (slots.host("thulium").expect("a slot"), slots.host("stun").expect("a slot"));
    assert_eq!(image.flows.hosts[usize::from(thulium)], 0b0111);
    assert_eq!(image.flows.hosts[usize::from(stun)], 0b1000);
    assert_eq!(image.settings.udp_idle, 300_000_000_000);
    assert_eq!(image.settings.session_cost, 5_000_000);
    assert_eq!(image.settings.pass_unmatched, 0);
}

#[test]
fn a_name_keeps_its_slot_when_flows_move_and_leave() {
    let first = policy(SMALLEST);
    let before = slots(&first);
    let mut second = first.clone();
    second.flows.reverse();
    second.flows.remove(1);
    second.flows.insert(0, Flow { name: "new".to_owned(), ..second.flows[0].clone() });
    let after = Slots::assign(&before.flows, &before.hosts, &second);
    for flow in &first.flows {
        assert_eq!(before.flow(&flow.name), after.flow(&flow.name), "{}", flow.name);
    }
    assert_eq!(after.flow("new"), Some(4), "a slot that was never used");
    assert_eq!(after.reused_flows, 0);
    let image = compile(&second, &after, &[], 1).expect("an image");
    assert_eq!(image.flows.slots[0], 4, "precedence is by rank, the slot is by name");
}

#[test]
fn a_slot_is_reused_only_when_none_is_left() {
    let policy = policy(SMALLEST);
    let mut previous = [SlotName::FREE; FLOW_SLOTS];
    for (index, slot) in previous.iter_mut().enumerate() {
        *slot = SlotName::new(&format!("old{index}"));
    }
    previous[9] = SlotName::new("web");
    let slots = Slots::assign(&previous, &[], &policy);
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
    (0_u8..16, 26_u8..=32).prop_map(|(last, length)| {
        IpNet::V4(Ipv4Net::new(Ipv4Addr::new(203, 0, 113, last), length).expect("a prefix").trunc())
    })
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
fn first_match(policy: &Policy, remote: Ipv4Addr, protocol: Protocol, port: u16) -> Option<&str> {
    let host = |name: &str| policy.hosts.iter().find(|host| host.name == name).expect("a host");
    let flow = policy.flows.iter().find(|flow| {
        let ports = &flow.ports;
        host(&flow.host).addresses.iter().any(|prefix| prefix.contains(&std::net::IpAddr::V4(remote)))
            && ports.iter().any(|range| range.protocol == protocol && (range.first..=range.last).contains(&port))
    })?;
    Some(&flow.name)
}

proptest! {
    #[test]
    fn the_image_finds_the_first_flow_that_matches(
        policy in any_policy(),
        packets in prop::collection::vec((0_u8..20, any::<bool>(), 1_u16..320), 1..40),
    ) {
        // Slots in another order than the policy's: others had the first ones.
        let past = [SlotName::new("past"), SlotName::new("flow3"), SlotName::new("host2")];
        let slots = Slots::assign(&past, &past, &policy);
        let clients = ["192.168.20.0/24".parse().expect("a prefix")];
        let image = compile(&policy, &slots, &clients, 7).expect("an image");
        let remotes = remotes(&policy, &slots);
        for (last, tcp, port) in packets {
            let remote = Ipv4Addr::new(203, 0, 113, last);
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            let hosts = hosts_of(&remotes, remote);
            let found = evaluate(&image, Ipv4Addr::new(192, 168, 20, 9), hosts, protocol, port);
            let expected = first_match(&policy, remote, protocol, port).and_then(|name| slots.flow(name));
            prop_assert_eq!(found, expected, "{} {}/{}", remote, port, protocol);
            prop_assert_eq!(evaluate(&image, Ipv4Addr::new(10, 0, 0, 1), hosts, protocol, port), None);
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
