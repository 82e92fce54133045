//! XDP sends on to the right station, whatever becomes of neighbours, routes and addresses in mid-call, with nobody but the programs to
//! notice.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, LAN_GATEWAY, Lab, NEXT_HOP, POLICY, THULIUM, UPLINK, WAN_MAC, eventually, within},
    peer::{Echo, ask},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);
/// As long as the kernel needs to find out that a neighbour is gone: it is asked about it at the 32nd asking on average, believes it for 5 s
/// more, and asks three times.
const PROBED: Duration = Duration::from_secs(60);

fn native() -> String {
    format!("{POLICY}datapath: {{ xdp: native }}\n")
}

/// A call by XDP.
struct Call {
    client: UdpSocket,
    _server: Echo,
}

impl Call {
    /// Begins it, and waits until XDP has it in both directions.
    fn new(lab: &Lab, gateway: &Gateway<'_>) -> Result<Self> {
        let _server = Echo::new(&lab.internet, &[MEDIA])?;
        let client = lab.lan.udp((CLIENT, 0))?;
        client.set_read_timeout(Some(Duration::from_millis(300)))?;
        let call = Self { client, _server };
        call.by(gateway, "xdp")?;
        Ok(call)
    }

    /// What the server sees as the client, if it answers.
    fn speak(&self) -> Result<SocketAddr> {
        ask(&self.client, MEDIA, b"speech")
    }

    /// Waits until both directions take this path.
    fn by(&self, gateway: &Gateway<'_>, path: &str) -> Result<()> {
        eventually(&format!("the call to go by {path}"), || {
            self.speak()?;
            let flows = gateway.json("flows")?;
            let flow = flows["sessions"].as_array().and_then(|flows| flows.first()).context("no session")?;
            ensure!(flow["out"]["path"] == path && flow["in"]["path"] == path, "{flow}");
            Ok(())
        })
    }
}

/// A lab whose call goes by XDP, without a daemon. The closure changes something in mid-call; the call goes on within that time, as the
/// same session, by this path.
fn goes_on(usual: Duration, path: &str, change: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let mut gateway = lab.start(&native())?;
    let call = Call::new(&lab, &gateway)?;
    let before = call.speak()?;
    gateway.kill()?;
    call.by(&gateway, "xdp")?;
    change(&lab)?;
    within(usual, "the call to go on", || call.speak())?;
    call.by(&gateway, path)?;
    assert_eq!(call.speak()?, before, "the same session");
    gateway.expect_refused(&[])
}

#[test]
fn a_client_gets_another_network_card() -> Result<()> {
    goes_on(Duration::from_secs(5), "xdp", |lab| {
        lab.lan.ip("link set eth0 address 02:00:00:00:20:77")?;
        // It talks to the gateway, as hosts do that have a new card.
        lab.lan.ip(&format!("neigh flush to {LAN_GATEWAY}"))
    })
}

#[test]
fn a_router_is_exchanged_and_says_so() -> Result<()> {
    goes_on(Duration::from_secs(5), "xdp", |lab| {
        lab.internet.sysctl("net/ipv4/conf/eth0/arp_notify", "1")?;
        lab.internet.ip("link set eth0 address 02:00:00:00:51:fe")
    })
}

#[test]
fn a_router_is_exchanged_and_says_nothing() -> Result<()> {
    goes_on(PROBED, "xdp", |lab| {
        // How long the kernel believes a neighbour without asking it; half a minute otherwise.
        lab.gw.sysctl("net/ipv4/neigh/wan0/base_reachable_time_ms", "1000")?;
        lab.internet.ip("link set eth0 address 02:00:00:00:51:fd")?;
        // It knows the gateway already, and asks nobody.
        let gateway = WAN_MAC.map(|byte| format!("{byte:02x}")).join(":");
        lab.internet.ip(&format!("neigh replace {UPLINK} dev eth0 lladdr {gateway} nud permanent"))
    })
}

#[test]
fn the_route_leads_to_another_router() -> Result<()> {
    goes_on(Duration::from_secs(5), "xdp", |lab| {
        let router = Ipv4Addr::new(198, 51, 100, 253);
        lab.internet.ip(&format!("address add {router}/24 dev eth0"))?;
        lab.gw.ip(&format!("route replace default via {router}"))?;
        lab.gw.ip(&format!("neigh del {NEXT_HOP} dev wan0"))
    })
}

/// Nobody tells the programs of the new address: what is sent to it goes up, and TC sends it on.
#[test]
fn the_gateways_own_card_gets_another_address() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let mut gateway = lab.start(&native())?;
    let call = Call::new(&lab, &gateway)?;
    let before = call.speak()?;
    gateway.kill()?;
    lab.gw.ip("link set lan0 address 02:00:00:00:20:fe")?;
    lab.lan.ip(&format!("neigh flush to {LAN_GATEWAY}"))?;
    assert_eq!(eventually("the call to go on", || call.speak())?, before);
    eventually("the client's packets to go by TC", || {
        call.speak()?;
        let flows = gateway.json("flows")?;
        ensure!(flows["sessions"][0]["out"]["path"] == "tc", "{flows}");
        Ok(())
    })
}

#[test]
fn the_public_address_changes() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let gateway = lab.start(&native())?;
    let call = Call::new(&lab, &gateway)?;
    ensure!(call.speak()?.ip() == UPLINK);
    let other = Ipv4Addr::new(198, 51, 100, 7);
    lab.gw.ip(&format!("address add {other}/24 dev wan0"))?;
    lab.gw.sysctl("net/ipv4/conf/wan0/promote_secondaries", "1")?;
    lab.gw.ip(&format!("address del {UPLINK}/24 dev wan0"))?;
    lab.gw.ip(&format!("route replace default via {NEXT_HOP}"))?;
    eventually("the call to go on by the new address", || {
        let seen = call.speak()?;
        ensure!(seen.ip() == other, "{seen}");
        Ok(())
    })?;
    call.by(&gateway, "xdp")
}
