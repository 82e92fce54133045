//! T3, T4, T6: calls as agents make them, by browser and by desk phone. Nothing of them gets lost or changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::json;
use thulium_tests::{
    lab::{Lab, Namespace, POLICY, STUN, THULIUM, UPLINK, client, eventually},
    packet::{Capture, Parsed},
    peer::{RTP_PORT, SipCall, SipServer, StunServer, WebRtcCall},
};

const UDP: u8 = 17;

#[test]
fn a_browser_talks_by_webrtc() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    let _stun = StunServer::new(&lab, STUN, 19_302)?;
    let (mut out, mut back) = (Way::out(&lab)?, Way::back(&lab)?);
    let mut browser = WebRtcCall::new(&lab, THULIUM, STUN)?;
    let call = browser.wait_for_sound(150)?;
    drop(browser);

    let (agent, server) = (&call["browser"], &call["server"]);
    assert_eq!([&agent["state"], &server["state"]], ["connected"; 2]);
    assert_eq!([&agent["lost"], &server["lost"]], [0; 2]);
    // The endpoint that STUN told the browser ("server reflexive") is the one that the server talks with.
    let outside = json!({ "address": UPLINK, "port": server["remote"]["port"], "type": "srflx" });
    assert_eq!([&agent["local"], &server["remote"]], [&outside; 2]);
    assert_eq!([&agent["remote"], &server["local"]], [&server["local"]; 2]);
    assert_eq!(server["local"]["address"], json!(THULIUM));
    let port = server["local"]["port"].as_u64();
    assert!(port.is_some_and(|port| (16_000..=20_000).contains(&port)), "media on port {port:?}");
    assert!(out.carried()?.len() >= 150);
    assert!(back.carried()?.len() >= 150);
    Ok(())
}

/// All phones have the same ports, as desk phones do, and each an address of its own.
#[test]
fn twenty_phones_talk_at_once() -> Result<()> {
    const LENGTH: Duration = Duration::from_secs(6);
    let lab = Lab::new()?;
    let phones: Vec<Ipv4Addr> = (100..120).map(client).collect();
    for phone in &phones {
        lab.lan.ip(&format!("address add {phone}/24 dev eth0"))?;
    }
    let gateway = lab.start(POLICY)?;
    let server = SocketAddrV4::new(THULIUM, 15_060);
    let _server = SipServer::new(&lab, server)?;
    let (mut out, mut back) = (Way::out(&lab)?, Way::back(&lab)?);
    let calls = phones.iter().map(|phone| SipCall::lasting(&lab, *phone, server, LENGTH));
    for call in calls.collect::<Result<Vec<_>>>()? {
        call.finish()?;
    }

    let said: Vec<&Parsed> = out.carried()?.iter().filter(|packet| packet.destination.port() == RTP_PORT).collect();
    let heard = back.carried()?.iter().filter(|packet| packet.source.port() == RTP_PORT).count();
    // sipp sends a packet each 20 ms, and returns what it gets.
    assert!(said.len() > 20 * 250, "only {} packets of speech", said.len());
    assert_eq!(said.len(), heard, "packets of speech out and back");
    assert_eq!(talking_at_once(&said), 20);
    let flows = gateway.json("flows")?;
    let media = flows["sessions"].as_array().into_iter().flatten().filter(|session| session["flow"] == "media");
    let mapped: BTreeSet<_> = media.map(|session| session["mapped"].to_string()).collect();
    assert_eq!(mapped.len(), 20, "mappings are distinct");
    Ok(())
}

/// How many of the senders had begun before the first of them ended.
fn talking_at_once(packets: &[&Parsed]) -> usize {
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    for (index, packet) in packets.iter().enumerate() {
        first.entry(packet.source).or_insert(index);
        last.insert(packet.source, index);
    }
    let end = last.into_values().min().unwrap_or_default();
    first.into_values().filter(|begin| *begin <= end).count()
}

/// One way through the gateway, for the UDP packets of the policy's servers: what one end sends, and what the other one gets. (On the
/// gateway's own interfaces a capture does not see what XDP forwards.)
struct Way {
    before: Capture,
    behind: Capture,
    /// The server's end of a packet.
    server: fn(&Parsed) -> SocketAddrV4,
    went_in: Vec<Parsed>,
    came_out: Vec<Parsed>,
}

impl Way {
    fn out(lab: &Lab) -> Result<Self> {
        Self::new(&lab.lan, &lab.internet, |packet| packet.destination)
    }

    fn back(lab: &Lab) -> Result<Self> {
        Self::new(&lab.internet, &lab.lan, |packet| packet.source)
    }

    fn new(from: &Namespace, to: &Namespace, server: fn(&Parsed) -> SocketAddrV4) -> Result<Self> {
        let (before, behind) = (Capture::sent(from, "eth0")?, Capture::new(to, "eth0")?);
        Ok(Self { before, behind, server, went_in: Vec::new(), came_out: Vec::new() })
    }

    /// Everything that went in so far, once all of it has come out with the same bytes.
    fn carried(&mut self) -> Result<&[Parsed]> {
        eventually("every packet of the calls to come out", || {
            for (capture, packets) in [(&self.before, &mut self.went_in), (&self.behind, &mut self.came_out)] {
                let captured = capture.so_far(|_| true)?;
                let parsed = captured.iter().filter_map(|packet| Parsed::new(packet));
                let server = |packet: &Parsed| [THULIUM, STUN].contains((self.server)(packet).ip());
                packets.extend(parsed.filter(|packet| packet.protocol == UDP && server(packet)));
            }
            let [before, behind] = [&self.went_in, &self.came_out].map(|packets| {
                let mut payloads: Vec<_> = packets.iter().map(|packet| &packet.payload).collect();
                payloads.sort();
                payloads
            });
            ensure!(before == behind, "in went {} packets, out came {} or other bytes", before.len(), behind.len());
            Ok(())
        })?;
        Ok(&self.went_in)
    }
}
