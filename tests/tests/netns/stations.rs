//! Between which interfaces XDP forwards, what `status` says of it, and what the programs are told.

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, Map, MapData};
use thulium_ebpf::abi::{LAYOUT, SCHEMA, Station};
use thulium_tests::{
    lab::{CLIENT, Gateway, LAN_MAC, Lab, POLICY, THULIUM, WAN_MAC, eventually},
    peer::{Echo, ask, noise},
};

use crate::{doctor::programs::XDP, offloads::offload, startup::run, survival::traces};

fn native() -> String {
    format!("{POLICY}datapath: {{ xdp: native }}\n")
}

/// What `status` says of an interface.
fn interface(gateway: &Gateway<'_>, name: &str) -> Result<serde_json::Value> {
    let status = gateway.ctl("status --json")?.json()?;
    let interfaces = status["datapath"]["interfaces"].as_array().context("no interfaces")?;
    interfaces.iter().find(|interface| interface["name"] == name).cloned().with_context(|| format!("no {name}"))
}

/// Whether XDP forwards by an interface, as `status` says.
pub(crate) fn forwards(gateway: &Gateway<'_>, name: &str) -> Result<bool> {
    interface(gateway, name)?["forwards"].as_bool().context("`forwards` is no flag")
}

/// Waits until `status` says so of an interface, with this in its reason.
fn expect(gateway: &Gateway<'_>, name: &str, forwards: bool, why: &str) -> Result<()> {
    eventually(&format!("{name} to forward: {forwards}"), || {
        let seen = interface(gateway, name)?;
        let is_said = seen["why"].as_str().is_some_and(|said| said.contains(why));
        ensure!(seen["forwards"] == forwards && is_said, "{seen}");
        Ok(())
    })
}

/// What the programs are told of an interface.
fn station(lab: &Lab, interface: &str) -> Result<Station> {
    let maps = format!("thulium/{}/v{SCHEMA}-{LAYOUT:08x}/maps/stations", lab.id());
    let stations: Array<_, Station> = Map::Array(MapData::from_pin(lab.bpffs().join(maps))?).try_into()?;
    let link: serde_json::Value = serde_json::from_str(&lab.gw.output("ip", &format!("-j link show {interface}"))?)?;
    let index = link[0]["ifindex"].as_u64().and_then(|index| u32::try_from(index).ok()).context("no index")?;
    let station = stations.get(&Station::place(index), 0)?;
    ensure!(station.interface == index, "the station is of interface {}, not {index}", station.interface);
    Ok(station)
}

#[test]
fn xdp_forwards_only_to_where_frames_arrive() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&native())?;
    for (name, other) in [("lan0", &lab.lan), ("wan0", &lab.internet)] {
        expect(&gateway, name, false, "`ethtool -K … gro on`")?;
        ensure!(station(&lab, name)?.forwards == 0, "{name}: forwarded frames would be lost");
        offload(other, "eth0", "gro on")?;
    }
    for (name, mac) in [("lan0", LAN_MAC), ("wan0", WAN_MAC)] {
        expect(&gateway, name, true, "unfinished checksums")?;
        let station = station(&lab, name)?;
        assert_eq!((station.forwards, station.address), (1, mac), "{name}");
    }
    let screen = gateway.ctl("status")?.out;
    ensure!(screen.contains("lan0 (LAN): TC tcx, XDP native forwards (veth"), "{screen}");
    // The uplink's other end changes: nothing is sent there any more, nor taken for it.
    offload(&lab.internet, "eth0", "gro off")?;
    expect(&gateway, "wan0", false, "takes no frames from XDP")?;
    expect(&gateway, "lan0", false, "not to wan0")?;
    ensure!(station(&lab, "wan0")?.forwards == 0 && station(&lab, "lan0")?.forwards == 0);
    Ok(())
}

#[test]
fn without_a_daemon_status_says_where_xdp_forwards() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let mut gateway = lab.start(&native())?;
    gateway.kill()?;
    ensure!(forwards(&gateway, "lan0")? && forwards(&gateway, "wan0")?);
    Ok(())
}

#[test]
fn another_hardware_address_is_told_to_the_programs() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let _gateway = lab.start(&native())?;
    assert_eq!(station(&lab, "wan0")?.address, WAN_MAC);
    lab.gw.ip("link set wan0 address 02:00:00:00:51:77")?;
    eventually("the new address", || {
        let station = station(&lab, "wan0")?;
        ensure!((station.address, station.forwards) == ([2, 0, 0, 0, 0x51, 0x77], 1), "{station:?}");
        Ok(())
    })
}

#[test]
fn an_interface_that_is_made_anew_forwards_again() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let gateway = lab.start(&native())?;
    // Of an index that ends otherwise.
    lab.gw.ip("link add other0 type veth peer name other1")?;
    lab.gw.ip("link del wan0")?;
    expect(&gateway, "lan0", false, "")?;
    let internet = lab.internet.name();
    lab.gw.ip(&format!("link add wan0 address 02:00:00:00:51:01 type veth peer name eth0 netns {internet}"))?;
    lab.internet.ip("link set eth0 up")?;
    lab.gw.ip("link set wan0 up")?;
    offload(&lab.internet, "eth0", "gro on")?;
    expect(&gateway, "wan0", true, "")?;
    expect(&gateway, "lan0", true, "")?;
    assert_eq!(station(&lab, "wan0")?.address, WAN_MAC);
    Ok(())
}

#[test]
fn queueing_that_xdp_would_bypass_is_said() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let gateway = lab.start(&native())?;
    expect(&gateway, "wan0", true, "")?;
    lab.gw.output("tc", "qdisc replace dev wan0 root tbf rate 100mbit burst 32k latency 50ms")?;
    expect(&gateway, "wan0", true, "XDP sends past its queueing (tbf)")?;
    lab.gw.output("tc", "qdisc del dev wan0 root")?;
    eventually("the queueing to be forgotten", || {
        let seen = interface(&gateway, "wan0")?;
        ensure!(!seen["why"].as_str().context("no reason")?.contains("tbf"), "{seen}");
        Ok(())
    })
}

#[test]
fn a_program_of_others_in_its_place_is_named() -> Result<()> {
    let lab = Lab::new()?;
    let before = traces(&lab)?;
    let theirs = XDP.attach(&lab.gw, "wan0")?;
    let ran = run(&lab, &native(), |_| {})?;
    assert_eq!(ran.code, 4, "{ran:?}");
    ensure!(ran.err.contains("wan0 takes no native XDP program: another XDP program is there"), "{}", ran.err);
    drop(theirs);
    eventually("nothing to be left attached", || {
        ensure!(traces(&lab)? == before);
        Ok(())
    })
}

#[test]
fn large_mtus_are_taken_and_large_packets_arrive() -> Result<()> {
    let lab = Lab::new()?;
    for (namespace, interface) in [(&lab.gw, "lan0"), (&lab.gw, "wan0"), (&lab.lan, "eth0"), (&lab.internet, "eth0")] {
        namespace.ip(&format!("link set {interface} mtu 9000"))?;
    }
    lab.ready_for_xdp()?;
    let gateway = lab.start(&native())?;
    expect(&gateway, "wan0", true, "")?;
    let media = std::net::SocketAddr::from((THULIUM, 16_000));
    let _server = Echo::new(&lab.internet, &[media])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    for length in [8900, 100, 8900, 1400, 8900] {
        ask(&client, media, &noise(length))?;
    }
    gateway.expect_refused(&[])
}

#[test]
fn a_change_of_roles_takes_no_program_off() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let mut gateway = lab.start(&native())?;
    gateway.kill()?;
    let swapped =
        native().replace("lan0", "x").replace("wan0", "lan0").replace("interfaces: [x]", "interfaces: [wan0]");
    gateway.restart(Some(&swapped))?;
    ensure!(forwards(&gateway, "lan0")? && forwards(&gateway, "wan0")?);
    Ok(())
}
