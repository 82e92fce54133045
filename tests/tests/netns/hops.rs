//! Hardware addresses, routes and the uplink's address change under sessions that XDP forwards: mostly without any daemon, as the
//! programs ask the kernel for the next hop themselves.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, Lab, NEXT_HOP, POLICY, THULIUM, UPLINK, eventually, patience, within},
    peer::{Echo, ask},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);
/// How long the client waits for an answer before it asks again.
const RETRY: Duration = Duration::from_millis(50);
/// Within which a change that somebody announces is followed.
const ANNOUNCED: Duration = Duration::from_secs(5);
/// Within which the kernel finds a router that was exchanged silently. With the lab's [`CONFIRMED`]: 3 s until the entry is stale, 5 s
/// until it is probed, 3 s of probes, 1 s to resolve it. Before that one asking in 32 lets a packet reach the kernel: 3 s on average,
/// but now and then 30 s.
const SILENT: Duration = Duration::from_secs(60);
/// For how long the gateway's kernel believes a neighbour without a new confirmation, ms: half of it to one and a half. 30 s is usual.
const CONFIRMED: &str = "2000";
/// A second router on the uplink.
const OTHER_HOP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 253);
const OTHER_MAC: &str = "02:00:00:00:51:fe";

/// A session of a client with a server, which XDP forwards.
struct Call<'lab> {
    gateway: Gateway<'lab>,
    client: UdpSocket,
    mapped: SocketAddr,
    _server: Echo,
}

impl<'lab> Call<'lab> {
    fn new(lab: &'lab Lab) -> Result<Self> {
        lab.ready_for_xdp()?;
        let gateway = lab.start(&format!("{POLICY}datapath: {{ xdp: native }}\n"))?;
        let server = Echo::new(&lab.internet, &[MEDIA])?;
        let client = lab.lan.udp((CLIENT, 0))?;
        let mapped = ask(&client, MEDIA, b"open")?;
        client.set_read_timeout(Some(patience(RETRY)))?;
        let call = Self { gateway, client, mapped, _server: server };
        call.by_xdp(ANNOUNCED)?;
        Ok(call)
    }

    /// The same, and then the daemon is killed.
    fn without_daemon(lab: &'lab Lab) -> Result<Self> {
        let mut call = Self::new(lab)?;
        call.gateway.kill()?;
        call.by_xdp(ANNOUNCED)?;
        Ok(call)
    }

    /// Asks once and gets an answer. Returns the paths that the question and the answer took.
    fn paths(&self) -> Result<[String; 2]> {
        let seen = ask(&self.client, MEDIA, b"again")?;
        ensure!(seen == self.mapped, "the server saw {seen}, {} before", self.mapped);
        let flows = self.gateway.json("flows")?;
        let sessions = flows["sessions"].as_array().context("no sessions")?;
        let mine = sessions.iter().find(|session| session["mapped"] == seen.to_string());
        let mine = mine.with_context(|| format!("no session as {seen}: {flows}"))?;
        Ok(["out", "in"].map(|way| mine[way]["path"].as_str().unwrap_or_default().to_owned()))
    }

    /// Waits until question and answer both go by XDP.
    fn by_xdp(&self, limit: Duration) -> Result<()> {
        within(limit, "an answer by XDP", || {
            let paths = self.paths()?;
            ensure!(paths == ["xdp", "xdp"], "the paths are {paths:?}");
            Ok(())
        })
    }

    /// Nobody answers: what changed does matter.
    fn is_cut(&self) -> Result<()> {
        // One question may still be on its way by what was known before.
        within(ANNOUNCED, "the answers to stop", || {
            ensure!(ask(&self.client, MEDIA, b"lost").is_err(), "still answered");
            Ok(())
        })
    }
}

/// Exchanges the uplink's router for one with [`OTHER_MAC`], which knows the gateway and does not ask for it.
fn exchange_router(lab: &Lab) -> Result<()> {
    lab.internet.ip(&format!("link set eth0 address {OTHER_MAC}"))?;
    lab.internet.ip(&format!("neigh replace {UPLINK} lladdr 02:00:00:00:51:01 dev eth0 nud permanent"))
}

#[test]
fn a_client_with_another_hardware_address_is_answered_there() -> Result<()> {
    let lab = Lab::new()?;
    let call = Call::without_daemon(&lab)?;
    // With it the client forgets its neighbours: its next question asks for the gateway and so announces the new address.
    lab.lan.ip("link set eth0 address 02:00:00:00:20:fe")?;
    call.by_xdp(ANNOUNCED)
}

#[test]
fn a_router_that_is_exchanged_and_says_so_is_taken() -> Result<()> {
    let lab = Lab::new()?;
    let call = Call::without_daemon(&lab)?;
    lab.internet.sysctl("net/ipv4/conf/eth0/arp_notify", "1")?;
    lab.internet.ip(&format!("link set eth0 address {OTHER_MAC}"))?;
    call.by_xdp(ANNOUNCED)
}

#[test]
fn a_router_that_is_exchanged_silently_is_found() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.sysctl("net/ipv4/neigh/wan0/base_reachable_time_ms", CONFIRMED)?;
    let call = Call::without_daemon(&lab)?;
    exchange_router(&lab)?;
    call.is_cut()?;
    call.by_xdp(SILENT)
}

#[test]
fn another_next_hop_is_taken() -> Result<()> {
    let lab = Lab::new()?;
    let call = Call::without_daemon(&lab)?;
    let known: serde_json::Value = serde_json::from_str(&lab.internet.output("ip", "-j link show eth0")?)?;
    let old = known[0]["address"].as_str().context("no hardware address")?;
    // The old next hop stays what it was, so that nothing but the route leads to where answers come from.
    for (router, mac) in [(NEXT_HOP, old), (OTHER_HOP, OTHER_MAC)] {
        lab.gw.ip(&format!("neigh replace {router} lladdr {mac} dev wan0 nud permanent"))?;
    }
    exchange_router(&lab)?;
    call.is_cut()?;
    lab.gw.ip(&format!("route replace default via {OTHER_HOP}"))?;
    call.by_xdp(ANNOUNCED)
}

#[test]
fn the_gateways_new_hardware_address_is_served_without_a_daemon() -> Result<()> {
    let lab = Lab::new()?;
    let call = Call::without_daemon(&lab)?;
    lab.gw.ip("link set lan0 address 02:00:00:00:20:77")?;
    lab.lan.ip("neigh flush dev eth0")?;
    // Nobody tells the programs of the new address: frames to it are not XDP's.
    within(ANNOUNCED, "an answer", || {
        let [out, _] = call.paths()?;
        ensure!(out == "tc", "the question went by {out}");
        Ok(())
    })
}

#[test]
fn another_address_of_the_uplink_opens_a_new_session() -> Result<()> {
    const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    let lab = Lab::new()?;
    let mut call = Call::new(&lab)?;
    lab.gw.ip(&format!("address del {UPLINK}/24 dev wan0"))?;
    lab.gw.ip(&format!("address replace {OTHER}/24 dev wan0"))?;
    // The old one's routes went with it.
    lab.gw.ip(&format!("route replace default via {NEXT_HOP}"))?;
    call.mapped = eventually("the new address", || {
        let seen = ask(&call.client, MEDIA, b"moved")?;
        ensure!(seen.ip() == OTHER, "the server saw {seen}");
        Ok(seen)
    })?;
    call.by_xdp(ANNOUNCED)
}
