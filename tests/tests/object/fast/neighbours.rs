//! Next hops: what the kernel knows of them is followed within a moment.

use std::{net::Ipv4Addr, thread::sleep, time::Duration};

use thulium_ebpf::abi::Uplink;

use super::*;
use crate::maps::SERVER_HOST;

/// Waits until XDP sends a packet on to a station, or does not any more. What is known holds for a seventh of a second.
fn becomes(gateway: &Gateway, packet: &[u8], to: Option<[u8; 6]>) {
    let frame = framed(packet);
    for _ in 0..200 {
        let (action, after) = gateway.hand(Hook::LanXdp, &frame);
        let is_sent_to = (action == Action::Redirect).then(|| <[u8; 6]>::try_from(&after[..6]).unwrap());
        if is_sent_to == to {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("its frames do not go to {to:?}");
}

#[test]
fn a_router_that_was_exchanged_is_followed() {
    let gateway = with_session();
    becomes(&gateway, &sip_out(), Some(ROUTER));
    ip("neigh replace 198.51.100.254 lladdr 02:00:00:00:00:aa dev wan0");
    becomes(&gateway, &sip_out(), Some([2, 0, 0, 0, 0, 0xaa]));
}

#[test]
fn a_route_that_was_changed_is_followed() {
    let gateway = with_session();
    becomes(&gateway, &sip_out(), Some(ROUTER));
    ip("neigh add 198.51.100.253 lladdr 02:00:00:00:00:bb dev wan0");
    ip("route replace default via 198.51.100.253");
    becomes(&gateway, &sip_out(), Some([2, 0, 0, 0, 0, 0xbb]));
}

#[test]
fn a_smaller_mtu_is_kept_to() {
    let gateway = with_session();
    let packet = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, &[1; 1000]);
    becomes(&gateway, &packet, Some(ROUTER));
    ip("link set wan0 mtu 800");
    becomes(&gateway, &packet, None);
    becomes(&gateway, &sip_out(), Some(ROUTER));
}

#[test]
fn a_router_of_the_uplinks_own_comes_before_the_routes() {
    let mut gateway = with_session();
    ip("neigh add 198.51.100.252 lladdr 02:00:00:00:00:cc dev wan0");
    let mut uplinks = gateway.array::<Uplink>("uplinks");
    let uplink = uplinks.get(&0, 0).unwrap();
    uplinks.set(0, Uplink { next_hop4: Ipv4Addr::new(198, 51, 100, 252).into(), ..uplink }, 0).unwrap();
    becomes(&gateway, &sip_out(), Some([2, 0, 0, 0, 0, 0xcc]));
}

#[test]
fn a_neighbour_that_is_lost_is_the_kernels_to_find() {
    let gateway = with_session();
    becomes(&gateway, &sip_out(), Some(ROUTER));
    ip("neigh del 198.51.100.254 dev wan0");
    becomes(&gateway, &sip_out(), None);
    ip("neigh add 198.51.100.254 lladdr 02:00:00:00:00:fe dev wan0");
    becomes(&gateway, &sip_out(), Some(ROUTER));
}

#[test]
fn a_route_out_of_another_interface_is_none() {
    let gateway = with_session();
    becomes(&gateway, &sip_out(), Some(ROUTER));
    ip("route del default via 198.51.100.254");
    ip("route add default via 198.51.101.254");
    becomes(&gateway, &sip_out(), None);
}

#[test]
fn now_and_then_the_kernel_sees_its_neighbour_used() {
    // Two servers that have the same place in the table, so that the kernel is asked each time.
    let other = Ipv4Addr::new(203, 0, 113 + 16, 10);
    let mut gateway = with_session();
    gateway.set_remote(other.into(), 1 << SERVER_HOST, u64::MAX);
    let packets = [SERVER, other].map(|server| Ipv4::new(CLIENT, server).udp(PHONE_PORT, SIP_PORT, b"REGISTER"));
    gateway.admits(Hook::Lan, &packets[1]);
    let goes_up = |packet: &Vec<u8>| gateway.hand(Hook::LanXdp, &framed(packet)).0 == Action::Pass;
    let up = packets.iter().cycle().take(640).filter(|packet| goes_up(packet)).count();
    assert!((1..100).contains(&up), "{up} of 640 packets went up");
}
