//! The short way in XDP, and (`tc`) in TC: what takes it arrives as it should, byte by byte, and everything else goes up as it came.
//!
//! Now and then an asking lets its packet go up, so that the kernel sees its neighbour used: a frame that is to be sent on is handed over
//! again then.

mod back_up;
mod hits;
mod neighbours;
mod opening;
mod tc;

use thulium_ebpf::abi::Station;

use crate::{
    gateway::{Action, Gateway, Hook},
    network::{HARDWARE, ip},
    traffic::*,
};

/// Hardware address of the router behind the uplink, and of the client.
pub(crate) const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
pub(crate) const PHONE: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// A gateway whose interfaces XDP may forward between, and which knows its neighbours.
pub(crate) fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    for interface in [gateway.lan, gateway.wan] {
        gateway.set_station(interface, 1);
    }
    for host in 10..14 {
        ip(&format!("neigh add 192.168.20.{host} lladdr 02:00:00:00:00:77 dev lan0"));
        ip(&format!("neigh add 2001:db8:20::{host} lladdr 02:00:00:00:00:77 dev lan0"));
    }
    ip("neigh add 198.51.100.254 lladdr 02:00:00:00:00:fe dev wan0");
    ip("neigh add 2001:db8:51::254 lladdr 02:00:00:00:00:fe dev wan0");
    gateway
}

/// One with a phone's session, open both ways.
fn with_session() -> Gateway {
    let mut gateway = gateway();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Uplink, &sip_in());
    gateway
}

/// One with an established connection to the web server.
fn with_connection() -> Gateway {
    let mut gateway = gateway();
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    gateway.admits(Hook::Lan, &web_out(ACK));
    gateway
}

/// A frame of this family to the gateway.
fn framed(packet: &[u8]) -> Vec<u8> {
    frame(if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, packet)
}

impl Gateway {
    fn set_station(&mut self, interface: u32, forwards: u8) {
        let station = Station { interface, address: HARDWARE, forwards, pad: 0 };
        self.array("stations").set(Station::place(interface), station, 0).unwrap();
    }

    fn hand(&self, hook: Hook, frame: &[u8]) -> (Action, Vec<u8>) {
        match hook {
            Hook::LanXdp => self.run_xdp("lan_xdp", self.lan, frame),
            Hook::UplinkXdp => self.run_xdp("uplink_xdp", self.wan, frame),
            _ => panic!("{hook:?} is no hook of XDP"),
        }
    }

    /// Sends a packet that XDP has to send on, and returns the frame as it leaves.
    fn forwards(&self, hook: Hook, packet: &[u8]) -> Vec<u8> {
        let frame = framed(packet);
        for _ in 0..8 {
            match self.hand(hook, &frame) {
                (Action::Redirect, after) => return after,
                (action, after) => {
                    assert_eq!((action, &after), (Action::Pass, &frame), "{hook:?}: changed, and not sent")
                }
            }
        }
        panic!("{hook:?} has to send it on");
    }

    /// True if XDP sends a packet on; else it goes up as it came.
    fn takes(&self, hook: Hook, packet: &[u8]) -> bool {
        self.takes_frame(hook, &framed(packet))
    }

    fn takes_frame(&self, hook: Hook, frame: &[u8]) -> bool {
        (0..8).any(|_| match self.hand(hook, frame) {
            (Action::Redirect, _) => true,
            (action, after) => {
                assert_eq!((action, after.as_slice()), (Action::Pass, frame), "{hook:?}: it did not go up as it came");
                false
            }
        })
    }
}
