//! ICMP between real kernels: path MTU discovery, errors that reach the socket concerned, ping, and what a refused client is told.

mod ipv6;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, MASQUERADE, NEXT_HOP, Namespace, POLICY, THULIUM, UNRELATED, UPLINK, client, eventually},
    packet::{Capture, Ipv4},
    peer::{Echo, ask, noise},
};

/// The flows of these tests: TCP without a TLS floor, and ping.
const FLOWS: &str = "\
flows:
  - { name: bulk, to: thulium, ports: 9000/tcp }
  - { name: media, to: thulium, ports: 16000-20000/udp }
  - { name: ping, to: thulium, ports: icmp }
";
const MEDIA: SocketAddr = SocketAddr::new(IpAddr::V4(THULIUM), 16_000);
/// The MTU of the narrow link, bytes.
pub(crate) const NARROW: u32 = 1300;
/// How soon an answer has to come.
const SOON: Duration = Duration::from_secs(2);

fn policy() -> String {
    format!("{POLICY}{FLOWS}")
}

/// The numbers of a socket's options: protocol, path MTU discovery, MTU of the path.
fn options(socket: &UdpSocket) -> Result<[libc::c_int; 3]> {
    Ok(match socket.local_addr()? {
        SocketAddr::V4(_) => [libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_MTU],
        SocketAddr::V6(_) => [libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_MTU],
    })
}

/// Sends with "don't fragment" set, as QUIC and WebRTC do, and lets the kernel learn the path's MTU.
fn discover_mtu(socket: &UdpSocket) -> Result<()> {
    let [protocol, discover, _] = options(socket)?;
    // The same number for both families.
    let value = libc::IP_PMTUDISC_DO;
    // SAFETY: the value lives through the call, and is as long as it says.
    let set = unsafe {
        let length = size_of_val(&value) as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), protocol, discover, (&raw const value).cast(), length)
    };
    ensure!(set == 0, "path MTU discovery: {}", std::io::Error::last_os_error());
    Ok(())
}

/// The MTU that the kernel knows of the path of a connected socket, bytes.
fn path_mtu(socket: &UdpSocket) -> Result<u32> {
    let [protocol, _, mtu_of_path] = options(socket)?;
    let (mut mtu, mut length) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: both live through the call, and the length is right.
    let got =
        unsafe { libc::getsockopt(socket.as_raw_fd(), protocol, mtu_of_path, (&raw mut mtu).cast(), &raw mut length) };
    ensure!(got == 0, "the path's MTU: {}", std::io::Error::last_os_error());
    Ok(mtu.cast_unsigned())
}

/// Sends datagrams that are too large until the kernel knows, and refuses, them.
pub(crate) fn learns_mtu(socket: &UdpSocket) -> Result<()> {
    discover_mtu(socket)?;
    eventually("the path's MTU", || {
        // The datagram itself is lost, or refused by the kernel that knows already.
        let _ = socket.send(&noise(1400));
        let mtu = path_mtu(socket)?;
        ensure!(mtu == NARROW, "it is {mtu}");
        Ok(())
    })?;
    let refused = socket.send(&noise(1400)).expect_err("larger than the path's MTU");
    ensure!(refused.raw_os_error() == Some(libc::EMSGSIZE), "{refused}");
    // The error that told so is still to be read.
    socket.take_error()?;
    Ok(())
}

#[test]
fn udp_learns_of_a_narrow_hop_beyond_the_uplink() -> Result<()> {
    let lab = Lab::new()?;
    let far = lab.narrow(NARROW)?;
    let gateway = lab.start(&policy())?;
    let _server = Echo::new(&far, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 33_000))?;
    phone.connect(MEDIA)?;
    learns_mtu(&phone)?;
    ensure!(ask(&phone, MEDIA, &noise(1200))?.ip() == UPLINK);
    gateway.expect_refused(&[])
}

#[test]
fn udp_of_a_server_learns_of_a_narrow_lan() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip(&format!("link set lan0 mtu {NARROW}"))?;
    let gateway = lab.start(&policy())?;
    let server = lab.internet.udp(MEDIA)?;
    let phone = lab.lan.udp((CLIENT, 33_000))?;
    phone.send_to(b"hello", MEDIA)?;
    let (_, mapped) = server.recv_from(&mut [0; 16])?;
    server.connect(mapped)?;
    learns_mtu(&server)?;
    server.send(&noise(1200))?;
    let length = phone.recv(&mut [0; 2000])?;
    ensure!(length == 1200);
    gateway.expect_refused(&[])
}

/// Serves one connection: sends `bytes`, and returns how many came before the client was done.
fn serve(listener: TcpListener, bytes: usize) -> JoinHandle<Result<usize>> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(&noise(bytes))?;
        let mut content = Vec::new();
        stream.read_to_end(&mut content)?;
        Ok(content.len())
    })
}

/// Sends and receives so many bytes on one connection to `server`, which is at `address`.
fn exchange(lab: &Lab, server: &Namespace, address: IpAddr, sent: usize, received: usize) -> Result<()> {
    let serving = serve(server.listen((address, 9000))?, received);
    let mut stream = lab.lan.connect((address, 9000))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    let mut content = vec![0; received];
    stream.read_exact(&mut content).context("the download")?;
    ensure!(content == noise(received), "the download arrived changed");
    stream.write_all(&noise(sent)).context("the upload")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let arrived = serving.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
    ensure!(arrived == sent, "{arrived} bytes of {sent} arrived");
    Ok(())
}

#[test]
fn tcp_learns_of_a_narrow_hop_beyond_the_uplink() -> Result<()> {
    let lab = Lab::new()?;
    let far = lab.narrow(NARROW)?;
    let gateway = lab.start(&policy())?;
    // The server's own link is narrow, too; without this its SYN-ACK would tell the client so.
    far.ip("route change default via 192.0.2.1 advmss 1460")?;
    exchange(&lab, &far, THULIUM.into(), 1 << 20, 1)?;
    gateway.expect_refused(&[])
}

#[test]
fn tcp_of_a_server_learns_of_a_narrow_lan() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip(&format!("link set lan0 mtu {NARROW}"))?;
    let gateway = lab.start(&format!("{}mss_clamp: off\n", policy()))?;
    exchange(&lab, &lab.internet, THULIUM.into(), 1, 1 << 20)?;
    ensure_learned(&lab, &format!("{UPLINK} from {THULIUM}"))?;
    gateway.expect_refused(&[])
}

/// The server has learned of the narrow way. Segments alone would not show it: veth takes packets of any size from its own kernel.
fn ensure_learned(lab: &Lab, way: &str) -> Result<()> {
    let known = lab.internet.output("ip", &format!("route get {way}"))?;
    ensure!(known.contains(&format!("mtu {NARROW}")), "{known}");
    Ok(())
}

/// The error that a connected socket gets, soon.
fn error_of(socket: &UdpSocket) -> Result<std::io::Error> {
    socket.set_read_timeout(Some(SOON))?;
    match socket.recv(&mut [0; 64]) {
        Ok(_) => bail!("an answer instead of an error"),
        Err(error) => Ok(error),
    }
}

#[test]
fn port_unreachable_reaches_the_socket_that_it_is_about() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy())?;
    let phone = lab.lan.udp((CLIENT, 33_000))?;
    phone.connect(MEDIA)?;
    phone.send(b"is anybody there?")?;
    let error = error_of(&phone)?;
    ensure!(error.kind() == ErrorKind::ConnectionRefused, "the client: {error}");
    // And the other way round: the client's socket is gone.
    let server = lab.internet.udp(MEDIA)?;
    phone.send(b"now there is")?;
    let (_, mapped) = server.recv_from(&mut [0; 64])?;
    server.connect(mapped)?;
    drop(phone);
    server.send(b"but nobody there")?;
    let error = error_of(&server)?;
    ensure!(error.kind() == ErrorKind::ConnectionRefused, "the server: {error}");
    gateway.expect_refused(&[])
}

/// True for an ICMP packet of this type to the first client.
pub(crate) fn is_icmp(kind: u8) -> impl Fn(&[u8]) -> bool {
    move |packet| packet.len() >= 28 && packet[9] == 1 && packet[16..20] == CLIENT.octets() && packet[20] == kind
}

#[test]
fn traceroute_sees_the_hops_beyond_the_gateway() -> Result<()> {
    let lab = Lab::new()?;
    let _far = lab.narrow(1500)?;
    let gateway = lab.start(&policy())?;
    let office = Capture::new(&lab.lan, "eth0")?;
    // A port that is not kept, and the identifier of a ping, which is to NAT what ports are.
    let udp = Ipv4::new(CLIENT, THULIUM).ttl(2).udp(33_000, 16_000, b"where are you?");
    let ping = Ipv4::new(CLIENT, THULIUM).ttl(2).icmp(8, 0, [0x80, 0xe8, 0, 1], b"where are you?");
    for probe in [udp, ping] {
        lab.send_from_lan(&probe)?;
        let exceeded = office.next(is_icmp(11))?;
        ensure!(exceeded[12..16] == NEXT_HOP.octets(), "from another hop: {exceeded:?}");
        let quote = &exceeded[28..];
        ensure!(quote[12..20] == probe[12..20] && quote[20..28] == probe[20..28], "it quotes {quote:?}");
    }
    gateway.expect_refused(&[])
}

#[test]
fn ping_where_a_flow_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy())?;
    let office = Capture::new(&lab.lan, "eth0")?;
    let request = |host, to| Ipv4::new(client(host), to).icmp(8, 0, [0x80, 0xe8, 0, 1], &noise(56));
    lab.send_from_lan(&request(10, THULIUM))?;
    lab.send_from_lan(&request(11, THULIUM))?;
    let reply = office.next(is_icmp(0))?;
    ensure!(reply[12..16] == THULIUM.octets() && reply[24..26] == [0x80, 0xe8] && reply[28..] == noise(56));
    gateway.expect_refused(&[])?;
    let flows = gateway.json("flows")?;
    ensure!(flows["sessions"][0]["protocol"] == "icmp" && flows["sessions"][0]["flow"] == "ping", "{flows}");
    lab.send_from_lan(&request(10, UNRELATED))?;
    gateway.expect_refused(&["address-unknown out wan0: 1"])
}

#[test]
fn ping_is_refused_where_no_flow_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).icmp(8, 0, [0; 4], b"ping"))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

/// Sends a datagram to a host that no flow names; returns the error, or none when nothing comes.
fn try_udp(lab: &Lab, to: Ipv4Addr, port: u16) -> Result<Option<i32>> {
    let socket = lab.lan.udp((CLIENT, 0))?;
    socket.connect((to, port))?;
    socket.send(b"let me out")?;
    let error = error_of(&socket)?;
    Ok(if error.kind() == ErrorKind::WouldBlock { None } else { error.raw_os_error() })
}

#[test]
fn a_refused_client_is_told_at_once_where_the_policy_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&format!("{}refuse: reject\n", policy()))?;
    ensure!(try_udp(&lab, UNRELATED, 53)? == Some(libc::EHOSTUNREACH));
    let started = Instant::now();
    let error = lab.lan.connect((UNRELATED, 443)).expect_err("no flow names it");
    let refused = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    ensure!(refused == Some(ErrorKind::ConnectionRefused) && started.elapsed() < SOON, "{error:?}");
    gateway.expect_refused(&["no-flow out lan0: 2"])
}

/// On its way to the guard a NAT rule hides who has to be told, and a strict forward chain drops the packet.
#[test]
fn a_refused_client_is_told_whatever_the_rules_of_the_gateway() -> Result<()> {
    for rules in
        [MASQUERADE, "table ip filter { chain forward { type filter hook forward priority 0; policy drop; }; }\n"]
    {
        let lab = Lab::new()?;
        lab.nft(rules)?;
        let gateway = lab.start(&format!("{}refuse: reject\n", policy()))?;
        ensure!(try_udp(&lab, UNRELATED, 53)? == Some(libc::EHOSTUNREACH), "with {rules}");
        gateway.expect_refused(&["no-flow out lan0: 1"])?;
    }
    Ok(())
}

#[test]
fn a_refused_client_hears_nothing_by_default() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy())?;
    ensure!(try_udp(&lab, UNRELATED, 53)?.is_none());
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

#[test]
fn a_client_that_finds_no_room_is_told_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&format!("{}sessions: {{ per_client: 1 }}\n", policy()))?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    ask(&lab.lan.udp((CLIENT, 5004))?, MEDIA, b"the first")?;
    ensure!(try_udp(&lab, THULIUM, 16_000)? == Some(libc::EHOSTUNREACH));
    gateway.expect_refused(&["client-sessions out lan0: 1"])
}
