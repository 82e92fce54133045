//! What clients may do.

use std::{
    collections::HashSet,
    io::{self, IsTerminal, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, LAN_GATEWAY, Lab, STUN, THULIUM, UPLINK, client, eventually},
    packet::{Capture, Parsed},
    peer::{
        Dns, Echo, RTP_PORT, SipCall, SipServer, StunServer, TlsServer, TlsVersion, ask, download, mapped_address,
        noise, resolve, upload,
    },
};

use crate::tried::Tried;

/// How long the phone and its server say nothing: T8 asks for 50 s.
const SILENCE: Duration = Duration::from_secs(51);
const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_100);
/// The other address of acme.thulium.com, where the phone of [`Silence`] registers.
pub(crate) const SECOND_SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);
const MIB: usize = 1 << 20;

/// Tries every flow of the policy.
pub(crate) fn all(lab: &Lab, gateway: &mut Gateway<'_>, dns: &Dns, tried: &mut Tried) -> Result<()> {
    println!("What clients may do:");
    tried.step("look up acme.thulium.com", "203.0.113.10", || {
        Ok(resolve(&lab.lan, LAN_GATEWAY, "acme.thulium.com")?[0].to_string())
    });
    tried.step("DNS gives 8 addresses, 2 at a time", "8 used at once, 0 refused", || rotated(lab, gateway, dns));
    https(lab, tried);
    let _stun = StunServer::new(lab, STUN, 19_302)?;
    let _media = Echo::new(&lab.internet, &[MEDIA])?;
    voice(lab, tried);
    calls(lab, tried);
    tried.step("media of 300 calls at once", "300 answered, 300 mappings", || many(lab));
    tried.step("a call while thulium-ctl is killed and started", "no packet lost", || survival(lab, gateway));
    println!();
    Ok(())
}

/// The gateway has asked for the name a while ago: what a client is told now, only the answer to it can say.
fn rotated(lab: &Lab, gateway: &Gateway<'_>, dns: &Dns) -> Result<String> {
    let addresses: Vec<_> = (0..8).map(|host| Ipv4Addr::new(203, 0, 113, 120 + host)).collect();
    lab.add_servers(&addresses)?;
    let servers: Vec<_> = addresses.iter().map(|address| (*address, MEDIA.port()).into()).collect();
    let _servers = Echo::new(&lab.internet, &servers)?;
    let before = gateway.refused()?.total();
    dns.rotate("acme.thulium.com", &addresses, 2, Duration::from_millis(200));
    let mut used = HashSet::new();
    eventually("all addresses", || {
        for address in resolve(&lab.lan, LAN_GATEWAY, "acme.thulium.com")? {
            ask(&lab.lan.udp((CLIENT, 0))?, (address, MEDIA.port()).into(), b"hello")?;
            used.insert(address);
        }
        ensure!(used.len() == addresses.len(), "{used:?}");
        Ok(())
    })?;
    dns.set("acme.thulium.com", &[THULIUM, SECOND_SERVER]);
    Ok(format!("{} used at once, {} refused", used.len(), gateway.refused()?.total() - before))
}

fn https(lab: &Lab, tried: &mut Tried) {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        tried.step(&format!("HTTPS download by TLS {version} (curl)"), "4 MiB unchanged", || {
            let server = TlsServer::new(lab, 443)?;
            let published = server.publish("file", 4 * MIB)?;
            let arrived = download(lab, THULIUM, 443, "file", version)?;
            Ok(compared(&published, &arrived))
        });
    }
    tried.step("upload by TLS 1.3 (openssl)", "4 MiB unchanged", || {
        let content = noise(4 * MIB);
        let arrived = upload(lab, THULIUM, 443, &content, TlsVersion::V1_3)?;
        Ok(compared(&content, &arrived))
    });
}

fn compared(sent: &[u8], arrived: &[u8]) -> String {
    if sent == arrived {
        format!("{} MiB unchanged", sent.len() / MIB)
    } else {
        format!("changed: {} of {} bytes arrived", arrived.len(), sent.len())
    }
}

/// A browser: STUN, then media from the same socket.
fn voice(lab: &Lab, tried: &mut Tried) {
    let browser = || lab.lan.udp((CLIENT, 50_000));
    tried.step("STUN (coturn): the address outside", &UPLINK.to_string(), || {
        Ok(mapped_address(&browser()?, SocketAddrV4::new(STUN, 19_302))?.ip().to_string())
    });
    tried.step("media sees the endpoint that STUN saw", "the same endpoint", || {
        let browser = browser()?;
        let stun = SocketAddr::V4(mapped_address(&browser, SocketAddrV4::new(STUN, 19_302))?);
        let media = ask(&browser, MEDIA, &noise(172))?;
        Ok(if stun == media { "the same endpoint".to_owned() } else { format!("STUN {stun}, media {media}") })
    });
    tried.step("two clients with the same port 5004", "two endpoints", || {
        let first = ask(&lab.lan.udp((client(10), 5004))?, MEDIA, b"first")?;
        let second = ask(&lab.lan.udp((client(11), 5004))?, MEDIA, b"second")?;
        Ok(if first == second { format!("both {first}") } else { "two endpoints".to_owned() })
    });
}

fn calls(lab: &Lab, tried: &mut Tried) {
    tried.step("a SIP call (sipp), speech both ways", "answered, all speech came back", || {
        let server = SocketAddrV4::new(THULIUM, 15_060);
        let _server = SipServer::new(lab, server)?;
        let (said, heard) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
        SipCall::new(lab, client(12), server, 1)?.finish()?;
        let to_server = |packet: &[u8]| Parsed::new(packet).is_some_and(|p| p.destination.port() == RTP_PORT);
        let from_server = |packet: &[u8]| Parsed::new(packet).is_some_and(|p| p.source.port() == RTP_PORT);
        let (said, heard) = (said.so_far(to_server)?.len(), heard.so_far(from_server)?.len());
        ensure!(said > 40, "only {said} packets of speech were sent");
        // The last one may still be on its way when the phone hangs up.
        ensure!(said.abs_diff(heard) <= 1, "{said} packets of speech out, {heard} back");
        Ok("answered, all speech came back".to_owned())
    });
}

fn many(lab: &Lab) -> Result<String> {
    let sockets = (0..300).map(|_| lab.lan.udp((client(200), 0))).collect::<Result<Vec<_>>>()?;
    for socket in &sockets {
        socket.send_to(b"hello", MEDIA)?;
    }
    let (mut answered, mut mappings) = (0, HashSet::new());
    for socket in &sockets {
        let mut answer = [0; 64];
        if socket.recv(&mut answer).is_ok() {
            answered += 1;
            mappings.insert(answer[..24].to_vec());
        }
    }
    Ok(format!("{answered} answered, {} mappings", mappings.len()))
}

/// 100 packets a second while the daemon is killed with SIGKILL and started again.
fn survival(lab: &Lab, gateway: &mut Gateway<'_>) -> Result<String> {
    let phone = lab.lan.udp((CLIENT, 0))?;
    let (stop, stopped) = mpsc::channel();
    let call = thread::spawn({
        let phone = phone.try_clone()?;
        move || -> Result<u32> {
            let mut sent = 0;
            while stopped.recv_timeout(Duration::from_millis(10)).is_err() {
                phone.send_to(b"speech", MEDIA)?;
                sent += 1;
            }
            Ok(sent)
        }
    });
    thread::sleep(Duration::from_millis(300));
    gateway.kill()?;
    thread::sleep(Duration::from_millis(300));
    gateway.restart(None)?;
    thread::sleep(Duration::from_millis(300));
    stop.send(())?;
    let sent = call.join().map_err(|_| anyhow::anyhow!("the call panicked"))??;
    phone.set_read_timeout(Some(Duration::from_secs(1)))?;
    let answered = (0..sent).take_while(|_| phone.recv(&mut [0; 64]).is_ok()).count() as u32;
    Ok(if answered == sent { "no packet lost".to_owned() } else { format!("{} of {sent} lost", sent - answered) })
}

/// A phone that registered and waits for a call.
pub(crate) struct Silence {
    phone: UdpSocket,
    server: UdpSocket,
    mapped: SocketAddr,
    since: Instant,
}

/// Registers a phone, which then says nothing while the other steps run.
pub(crate) fn begin_silence(lab: &Lab) -> Result<Silence> {
    lab.internet.ip(&format!("address add {SECOND_SERVER}/32 dev lo"))?;
    let server = lab.internet.udp((SECOND_SERVER, 15_060))?;
    let phone = lab.lan.udp((client(13), 5060))?;
    phone.send_to(b"REGISTER", (SECOND_SERVER, 15_060))?;
    let (_, mapped) = server.recv_from(&mut [0; 64]).context("the phone cannot register")?;
    Ok(Silence { phone, server, mapped, since: Instant::now() })
}

/// After 51 s of silence the server calls the phone.
pub(crate) fn end_silence(silence: Silence, tried: &mut Tried) {
    const WHAT: &str = "a call to a phone after 51 s of silence";
    println!("\nA phone registered before all this, and has said nothing since:");
    tried.step(WHAT, "the phone rings", || {
        while let Some(left) = SILENCE.checked_sub(silence.since.elapsed()) {
            if io::stdout().is_terminal() {
                print!("\r  {WHAT} … in {:2} s \r  {WHAT} … ", left.as_secs());
                let _ = io::stdout().flush();
            }
            thread::sleep(left.min(Duration::from_secs(1)));
        }
        silence.server.send_to(b"INVITE", silence.mapped)?;
        let mut buffer = [0; 64];
        let length = silence.phone.recv(&mut buffer).context("it does not ring")?;
        ensure!(&buffer[..length] == b"INVITE", "something else arrived");
        Ok("the phone rings".to_owned())
    });
}
