use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use thulium_ebpf::abi::{
    Address4, Client, Counter, Direction, DropKey, Family, Interface, NO_SLOT, Path, Reason, RemoteAddress, Role,
    Settings, Side, Traffic, UplinkLosses, UplinkState, Verdict,
};

use super::*;
use crate::{
    observe::{
        Slots,
        flows::Halves,
        status::{self, Attachment, Hook, Link, Mode, UplinkNow},
    },
    policy::Host,
    uplinks::UplinkCondition,
};

/// A gateway with one LAN interface and one uplink.
struct Gateway;

fn attachment(name: &str, role: status::Role, why: &str) -> Attachment {
    Attachment { name: name.to_owned(), role, tc: Hook::Tcx, xdp: Hook::None, forwards: false, why: why.to_owned() }
}

fn interface(role: Role, name: &str) -> Interface {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    Interface { role: role as u32, slot: 0, link_header: 14, name: padded }
}

impl Source for Gateway {
    fn drops(&self) -> anyhow::Result<Vec<(DropKey, Counter)>> {
        let key = DropKey {
            interface: 2,
            reason: Reason::NoFlow as u8,
            direction: Direction::Out as u8,
            family: Family::Ipv4 as u8,
            verdict: Verdict::Drop as u8,
            flow: NO_SLOT,
            pad: [0; 3],
        };
        Ok(vec![(key, Counter { packets: 5, bytes: 500 })])
    }
    fn flows(&self) -> anyhow::Result<Halves> {
        Ok(Halves::default())
    }
    fn clients(&self) -> anyhow::Result<Vec<(IpAddr, Client)>> {
        Ok(Vec::new())
    }
    fn capacity(&self) -> anyhow::Result<u32> {
        Ok(1024)
    }
    fn interfaces(&self) -> anyhow::Result<HashMap<u32, Interface>> {
        Ok([(2, interface(Role::Uplink, "eth0")), (3, interface(Role::Lan, "eth1"))].into())
    }
    fn attachments(&self) -> anyhow::Result<Vec<Attachment>> {
        Ok(vec![attachment("eth1", status::Role::Lan, ""), attachment("eth0", status::Role::Uplink, "")])
    }
    fn flow_names(&self) -> anyhow::Result<Slots> {
        Ok(BTreeMap::new())
    }
    fn host_names(&self) -> anyhow::Result<Slots> {
        Ok(BTreeMap::new())
    }
    fn hosts(&self) -> anyhow::Result<Vec<(u8, Host)>> {
        Ok(Vec::new())
    }
    fn remotes(&self) -> anyhow::Result<Vec<(IpNet, RemoteAddress)>> {
        Ok(Vec::new())
    }
    fn uplink_names(&self) -> anyhow::Result<Slots> {
        Ok([(0, "isp-a".to_owned())].into())
    }
    fn uplink_losses(&self) -> anyhow::Result<Vec<UplinkLosses>> {
        Ok(Vec::new())
    }
    fn traffic(&self) -> anyhow::Result<Vec<Traffic>> {
        let mut traffic = Traffic::default();
        traffic.counter(Side::Lan, Path::Xdp).packets = 7;
        traffic.counter(Side::Uplink, Path::Tc).packets = 8;
        Ok(vec![traffic])
    }
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings::default())
    }
    fn uplinks(&self) -> anyhow::Result<Vec<Uplink>> {
        let address = Address4::new([198, 51, 100, 1]);
        let used = Uplink { interface: 2, address, translates: 1, state: UplinkState::Up as u32, ..Uplink::default() };
        let former = Uplink { state: UplinkState::Unused as u32, ..used };
        Ok(vec![used, Uplink::default(), former])
    }
    fn generation(&self) -> anyhow::Result<u32> {
        Ok(4)
    }
    fn mode(&self) -> anyhow::Result<Option<Mode>> {
        Ok(Some(Mode::Enforce))
    }
}

#[test]
fn the_maps_alone_say_what_is_attached() {
    let facts = read(&Gateway).unwrap();
    assert!(facts.is_attached());
    assert_eq!((facts.dropped.packets, facts.generation, facts.sessions.capacity), (5, 4, 1024));
    let uplink = UplinkFacts {
        name: "isp-a".to_owned(),
        interface: "eth0".to_owned(),
        state: None,
        last_known: Some(UplinkCondition::Up),
        address: Some([198, 51, 100, 1].into()),
        translates: true,
        lost_address: false,
        foreign_address: false,
        ipv6: None,
        link: None,
        since: None,
        why: None,
    };
    assert_eq!(facts.uplinks, [uplink], "unused slots are left out");
    let paths: Vec<_> = facts.paths.iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["eth1: XDP 100 % (7 packets)", "eth0: TC 100 % (8 packets)"]);
}

#[test]
fn the_daemon_adds_why_and_the_uplinks_state() {
    let mut facts = read(&Gateway).unwrap();
    let now = UplinkNow { name: "isp-a".to_owned(), link: Link::Down, address: None, is_own: false, ipv6: None };
    let health = status::UplinkHealth {
        state: UplinkCondition::Held,
        since: 950,
        why: Some("its interface is switched off".to_owned()),
    };
    let mut daemon = DaemonFacts {
        pid: 1,
        since: 0,
        release: String::new(),
        policy: "policy.yaml".into(),
        system: "acme".to_owned(),
        mode: Mode::Enforce,
        interfaces: vec![attachment("eth0", status::Role::Uplink, "veth"), attachment("gone", status::Role::Lan, "x")],
        uplinks: [("eth0".to_owned(), now)].into(),
        conditions: [("eth0".to_owned(), health)].into(),
        uplink_warnings: Vec::new(),
        unresolved: Vec::new(),
        warnings: Vec::new(),
    };
    explain(&mut facts, &mut daemon);
    assert_eq!((facts.uplinks[0].state, facts.uplinks[0].last_known), (Some(UplinkCondition::Held), None));
    let whys: Vec<&str> = facts.interfaces.iter().map(|interface| interface.why.as_str()).collect();
    assert_eq!((whys, facts.uplinks[0].name.as_str()), (vec!["", "veth"], "isp-a"));
    assert_eq!((facts.uplinks[0].link, facts.uplinks[0].lost_address), (Some(Link::Down), true));
    let json = serde_json::to_value(&facts.uplinks[0]).unwrap();
    assert_eq!((&json["state"], &json["since"]), (&"held".into(), &950.into()));
    assert_eq!(json["why"], "its interface is switched off");
    assert!(
        daemon.conditions.is_empty() && daemon.interfaces.is_empty() && daemon.uplinks.is_empty(),
        "each thing is said once"
    );
}
