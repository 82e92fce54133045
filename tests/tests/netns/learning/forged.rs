//! Replies that answer no query, or not this one, teach nothing.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, UNRELATED, UPLINK},
    peer::{Echo, ask, query, reply},
};

use super::{NAME, OTHER, OUTSIDE, POLICY, is_unknown, lab, media};

const NUMBER: u16 = 0x1234;

/// A client's query that has arrived at the resolver, which the test plays.
struct Asked {
    client: UdpSocket,
    resolver: UdpSocket,
    from: SocketAddr,
    query: Vec<u8>,
}

impl Asked {
    fn new(lab: &Lab, resolver: Ipv4Addr, port: u16, name: &str) -> Result<Self> {
        let (resolver, client) = (lab.internet.udp((resolver, 53))?, lab.lan.udp((CLIENT, port))?);
        let asked = Self { client, resolver, from: (UPLINK, port).into(), query: query(NUMBER, name) };
        asked.again()?;
        Ok(asked)
    }

    /// The client asks, once more.
    fn again(&self) -> Result<()> {
        self.client.send_to(&self.query, self.resolver.local_addr()?)?;
        // The gateway asks for itself, too, and hears nothing.
        while self.resolver.recv_from(&mut [0; 512])?.1 != self.from {}
        Ok(())
    }

    /// Sends a message to the client, which gets it: sessions let replies in, whatever they say.
    fn say(&self, message: &[u8]) -> Result<()> {
        self.resolver.send_to(message, self.from)?;
        let mut buffer = [0; 70_000];
        let length = self.client.recv(&mut buffer)?;
        ensure!(buffer[..length] == *message, "it arrived changed");
        Ok(())
    }
}

fn answer(query: &[u8], address: Ipv4Addr) -> Vec<u8> {
    reply(query, &[address], 60).expect("a query")
}

#[test]
fn another_number_another_question_or_no_good_answer() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY)?;
    let false_ones: Vec<_> = (200..208).map(|host| Ipv4Addr::new(203, 0, 113, host)).collect();
    let asked = Asked::new(&lab, OUTSIDE, 4000, NAME)?;
    // Another number, another name, a failure, a truncated one, a query, two questions.
    asked.say(&answer(&query(NUMBER + 1, NAME), false_ones[0]))?;
    asked.say(&answer(&query(NUMBER, "stun.l.google.com"), false_ones[1]))?;
    for (address, (at, bits)) in false_ones[2..].iter().zip([(3, 0x03), (2, 0x02), (2, 0x80), (5, 0x03)]) {
        let mut message = answer(&asked.query, *address);
        message[at] ^= bits;
        asked.again()?;
        asked.say(&message)?;
    }
    // A name that never ends, and a long message.
    let mut looping = answer(&asked.query, false_ones[6]);
    let name = asked.query.len();
    looping[name..name + 2].copy_from_slice(&[0xc0, name as u8]);
    asked.again()?;
    asked.say(&looping)?;
    asked.say(&[answer(&query(NUMBER + 2, NAME), false_ones[7]), vec![0; 60_000]].concat())?;
    is_unknown(&gateway, &lab, &false_ones)
}

#[test]
fn only_the_first_reply_to_a_query_counts() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY)?;
    let second = Ipv4Addr::new(203, 0, 113, 201);
    let _server = Echo::new(&lab.internet, &[media(OTHER)])?;
    let asked = Asked::new(&lab, OUTSIDE, 4000, NAME)?;
    asked.say(&answer(&asked.query, OTHER))?;
    ask(&lab.lan.udp((CLIENT, 0))?, media(OTHER), b"the resolver said so")?;
    asked.say(&answer(&asked.query, second))?;
    is_unknown(&gateway, &lab, &[second])
}

/// What comes to a port from which nobody asked does not even arrive.
#[test]
fn unsolicited_replies_are_refused() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY)?;
    let asked = Asked::new(&lab, OUTSIDE, 4000, NAME)?;
    let message = answer(&asked.query, OTHER);
    // A stranger, and the resolver's host by another port.
    for from in [SocketAddr::from((UNRELATED, 53)), SocketAddr::from((OUTSIDE, 5353))] {
        lab.internet.udp(from)?.send_to(&message, asked.from)?;
    }
    gateway.expect_refused(&["no-session in wan0: 2"])?;
    is_unknown(&gateway, &lab, &[OTHER])
}

/// A resolver that clients may use, but that the policy does not trust.
#[test]
fn a_resolver_that_is_not_trusted_teaches_nothing() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(&POLICY.replace("addresses: [203.0.113.54]", "addresses: [203.0.113.54, 203.0.113.99]"))?;
    let asked = Asked::new(&lab, UNRELATED, 4000, NAME)?;
    asked.say(&answer(&asked.query, OTHER))?;
    is_unknown(&gateway, &lab, &[OTHER])
}
