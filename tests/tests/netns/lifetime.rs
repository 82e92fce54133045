//! T8: a UDP session outlives 50 s of silence.

use std::{thread, time::Duration};

use anyhow::Result;
use thulium_tests::{
    lab::{CLIENT, Lab, MASQUERADE, POLICY, THULIUM, UPLINK},
    packet::Ipv4,
};

#[test]
fn the_phone_rings_after_51_s_of_silence() -> Result<()> {
    let lab = Lab::new()?;
    // With the kernel's own NAT in place, whose timeout is 30 s until a reply was seen.
    lab.nft(MASQUERADE)?;
    let gateway = lab.start(POLICY)?;
    let server = lab.internet.udp((THULIUM, 15_060))?;
    let phone = lab.lan.udp((CLIENT, 5060))?;
    phone.send_to(b"REGISTER", (THULIUM, 15_060))?;
    let mut buffer = [0; 64];
    let (_, mapped) = server.recv_from(&mut buffer)?;

    thread::sleep(Duration::from_secs(51));

    server.send_to(b"INVITE", mapped)?;
    let length = phone.recv(&mut buffer)?;
    assert_eq!(&buffer[..length], b"INVITE");
    // Silence opened it to nobody else.
    lab.send_from_internet(&Ipv4::new(THULIUM, UPLINK).udp(1, mapped.port(), b"x"))?;
    gateway.expect_refused(&["no-session in wan0: 1"])
}
