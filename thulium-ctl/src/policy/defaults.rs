//! Thulium's values: what a policy means where it says nothing. The engine itself knows nothing about Thulium.

use std::time::Duration;

use super::{
    DatapathPolicy, Flow, Health, Host, Mode, MssClamp, OnUplinkDown, PortRange, Probe, Protocol, Refuse, Sessions,
    TcMode, TlsVersion, Unmatched, XdpMode,
};

pub(super) const MODE: Mode = Mode::Enforce;
pub(super) const UNMATCHED: Unmatched = Unmatched::Drop;
pub(super) const REFUSE: Refuse = Refuse::Drop;
pub(super) const MSS_CLAMP: MssClamp = MssClamp::Auto;
pub(super) const ON_UPLINK_DOWN: OnUplinkDown = OnUplinkDown::Move;
/// A working day's login (T10).
pub(super) const RELEASE_AFTER_IDLE: Duration = Duration::from_secs(12 * 3600);
pub(super) const KEEP_OLD: Duration = Duration::from_secs(24 * 3600);
/// A name in the internet has no business with addresses of the office (DNS rebinding).
pub(super) const PRIVATE_ANSWERS: bool = false;
pub(super) const SESSIONS: Sessions = Sessions {
    udp_idle: Duration::from_secs(300),
    tcp_idle: Duration::from_secs(7440),
    capacity: 262_144,
    per_client: 2048,
    new_per_client: 200,
    ports_per_client: 1024,
};
/// Two bits of the packet mark, unless the policy names others or has several uplinks.
pub const MARK: u32 = 0x3000_0000;
/// Four bits: with several uplinks, the mark also tells by which one a packet leaves.
const MARK_OF_SEVERAL: u32 = 0xf000_0000;

/// How the programs are attached, in a policy with so many uplinks.
pub(super) const fn datapath(uplinks: usize) -> DatapathPolicy {
    let mark = if uplinks > 1 { MARK_OF_SEVERAL } else { MARK };
    DatapathPolicy { xdp: XdpMode::Auto, tc: TcMode::Auto, mark }
}

/// How an uplink is known to be lost.
pub(super) const fn health() -> Health {
    Health { link_down: Duration::from_secs(1), black_hole: Duration::from_secs(10), probe: Probe::Auto }
}

/// The tenant's server, and the STUN server that its browsers ask (T4).
pub(super) fn hosts(system: &str) -> Vec<Host> {
    let host = |name: &str, dns: String| Host {
        name: name.to_owned(),
        names: vec![dns],
        addresses: Vec::new(),
        keep_old: KEEP_OLD,
        private_answers: PRIVATE_ANSWERS,
    };
    vec![host("thulium", format!("{system}.thulium.com")), host("stun", "stun.l.google.com".to_owned())]
}

/// T1 and T2 (web), T5 (sip), T3 and T6 (media), T4 (stun).
pub(super) fn flows() -> Vec<Flow> {
    let flow = |name: &str, host: &str, protocol, first, last| Flow {
        name: name.to_owned(),
        host: host.to_owned(),
        ports: [PortRange { protocol, first, last }].into(),
        tls_min: None,
    };
    vec![
        Flow { tls_min: Some(TlsVersion::V1_2), ..flow("web", "thulium", Protocol::Tcp, 443, 443) },
        flow("sip", "thulium", Protocol::Udp, 15060, 15060),
        flow("media", "thulium", Protocol::Udp, 16000, 20000),
        flow("stun", "stun", Protocol::Udp, 19302, 19302),
    ]
}
