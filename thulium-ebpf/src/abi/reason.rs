//! Why a packet was refused: the one list that programs, command line and documentation share.

/// Declares [`Reason`] from one table, so that number, name, meaning and hint cannot drift apart.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $meaning:literal, $hint:literal;)*) => {
        /// Why a packet was refused. Numbers are append-only: counters outlive upgrades.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $variant = $number,)*
        }

        impl Reason {
            /// All reasons, by number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The reason's name, as `drops` prints it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happened, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What an admin can do about it.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

reasons! {
    NoFlow = 1, "no-flow", "no flow of the policy allows this packet",
        "If it should be allowed, add a flow with its host, port and protocol.";
    NoSession = 2, "no-session", "it came to a mapped port, but from a remote that the client has no session with",
        "Late replies and scans look like this; many from one server mean that sessions end too early or its replies come from another address.";
    Unsolicited = 3, "unsolicited", "it came from an uplink straight to a client's address",
        "Nothing outside should know that address; check routes and VPNs of the uplink.";
    SpoofedSource = 4, "spoofed-source", "no route leads back to its source through a LAN interface",
        "A host in the LAN has a wrong address, or a route to its network is missing.";
    Malformed = 5, "malformed", "its headers contradict each other or are cut short",
        "A broken or hostile sender; `tcpdump -v` on that interface shows it.";
    IpOptions = 6, "ip-options", "it carries IP options, or IPv6 extension headers beyond the ordinary",
        "Thulium's flows never do; find out what sends them.";
    FragmentNoState = 7, "fragment-no-state", "a fragment without a first fragment that was admitted before it",
        "A fragment overtook its first one, or the datagram was refused.";
    UnknownProtocol = 8, "unknown-protocol", "its protocol is none of TCP, UDP and ICMP",
        "Tunnels of clients (GRE, ESP, ...) are not part of the policy.";
    Ipv6Unsupported = 9, "ipv6-unsupported", "IPv6 between the LAN and an uplink, and the policy governs no IPv6 clients",
        "Give the LAN interface an IPv6 prefix, or name one in `lan.clients`; until then clients fall back to IPv4.";
    TcpNotSyn = 10, "tcp-not-syn", "a TCP segment in the middle of a connection that has no session",
        "The connection is older than this datapath or idled too long (`sessions.tcp_idle`); the client has to reconnect.";
    PortsExhausted = 11, "ports-exhausted", "no free external port was found",
        "Too many mappings on this uplink: `thulium-ctl flows` shows who holds them.";
    SessionsFull = 12, "sessions-full", "the session table is full",
        "Raise `sessions.capacity`; established sessions go on.";
    ClientSessions = 13, "client-sessions", "the client has as many sessions as a client may have",
        "`thulium-ctl clients` shows its share: see what this client does, or raise `sessions.per_client`.";
    ClientRate = 14, "client-rate", "the client opens sessions faster than a client may",
        "`thulium-ctl clients` shows its share: see what this client does, or raise `sessions.new_per_client`.";
    PolicyChanged = 15, "policy-changed", "its session was opened under an older policy, and the present one does not allow it",
        "Expected after a flow or host was removed.";
    ForeignNat = 16, "foreign-nat", "a NAT rule of the gateway hid who sent it, or would mix it up with a client's session",
        "An exceptional packet (oversized, TTL 1) met a masquerade rule, or a rule overwrote the mark that tells clients from others: exempt packets with a bit of `datapath.mark` from both.";
    NoUplinkAddress = 17, "no-uplink-address", "the uplink has no address to translate to, or its interface is gone",
        "Check the interface: `ip address show`; with DHCP, the lease; with PPP, that the daemon runs and takes up the new interface.";
    TlsNotTls = 18, "tls-not-tls", "TCP of a flow with `tls_min` whose first bytes are no hello of TLS",
        "Something else than a browser uses that port: plain HTTP, SSH, a tunnel. The client was told by a reset.";
    TlsTooOld = 19, "tls-too-old", "the client offers no TLS 1.2",
        "Update the browser or the system of that client: it can do TLS 1.1 at most.";
    TlsDowngraded = 20, "tls-downgraded", "the server settled on a TLS version below the flow's `tls_min`",
        "The server, or a proxy in front of it, does not offer that version; or the client offers it for older ones only.";
    FragmentOverlap = 21, "fragment-overlap", "a fragment repeats bytes of its datagram that have passed, or lies beyond its end",
        "A fragment that was doubled on its way is harmless; many are an attack that tries to put other bytes in place of those that were judged.";
    FragmentTiny = 22, "fragment-tiny", "a fragment so small that a part of the transport header is in another one",
        "No honest sender makes such fragments; find out what sends them.";
    FragmentStale = 23, "fragment-stale", "a later fragment that came more than 5 s after the first one of its datagram",
        "The link is congested or the fragments were sent by hand; `tcpdump -v 'ip[6:2] & 0x3fff != 0'` shows them.";
    FragmentDisorder = 24, "fragment-disorder", "a later fragment that would leave more gaps in its datagram than are kept",
        "The datagram's fragments overtake each other too much, or many of them were lost: look for packet loss before this interface.";
    TcpRstNoSession = 25, "tcp-rst-no-session", "a TCP reset of a flow of the policy, without a session",
        "Harmless: a client ended a connection that had ended here before.";
    TcpFlags = 26, "tcp-flags", "a TCP segment with control bits that no connection has: none at all, SYN with FIN or RST, FIN without ACK",
        "Port scanners send such; find out what runs on that host.";
    ClientPorts = 27, "client-ports", "the client holds as many mapped ports as a client may hold",
        "`thulium-ctl clients` shows its share: see what this client does, or raise `sessions.ports_per_client`.";
    IcmpUnmatched = 28, "icmp-unmatched", "an ICMP error about a packet of a client that no live session has sent or got",
        "Late errors about sessions that have ended look like this; many are a scan.";
    IcmpForged = 29, "icmp-forged", "an ICMP error that cannot be genuine: it went to another than the sender of what it quotes, or its checksum is wrong",
        "Somebody tries to disturb sessions, or a device on the way damages packets; `tcpdump -v icmp` on that interface shows it.";
    AddressUnknown = 30, "address-unknown", "a flow has this port, but no host of the policy has this address",
        "If it is Thulium's, the client got another DNS answer than the gateway: `thulium-ctl hosts` shows what is known; let clients use the gateway's resolver, or name theirs under `resolvers`. If DNS told it a private address, the host needs `private_answers: true`.";
    AddressExpired = 31, "address-expired", "the address was a host's, but DNS stopped naming it longer than `keep_old` ago",
        "The client clings to an old DNS answer, or the gateway's resolvers lag behind: `thulium-ctl hosts`; raise the host's `keep_old` if it needs longer.";
    UplinkLost = 32, "uplink-lost", "its session went by an uplink, or from a public address, that is lost",
        "The client has to connect anew, and was told so if it was TCP: `thulium-ctl uplinks` shows what was lost and when.";
    UplinkDown = 33, "uplink-down", "the client's uplink is down, and no other may carry it",
        "See `thulium-ctl uplinks`. IPv6 cannot take another uplink; with `on_uplink_down: move` IPv4 clients do, if one is usable.";
    UplinkPrefix = 34, "uplink-prefix", "its IPv6 source address belongs to no uplink's prefix",
        "Name the prefix under `prefixes` of the uplink that it came from, or stop advertising it in the LAN.";
}

impl Reason {
    /// The reason numbered `number`.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| *reason as u8 == number)
    }

    /// The reasons for which no flow names a packet, a bit each by number; `unmatched: pass` leaves these to the kernel.
    pub const UNMATCHED: u64 = Self::bits(&[
        Self::NoFlow,
        Self::AddressUnknown,
        Self::AddressExpired,
        Self::Unsolicited,
        Self::UnknownProtocol,
        Self::IpOptions,
        Self::Ipv6Unsupported,
        // Of the datagrams for which no flow names the first fragment, these are the others.
        Self::FragmentNoState,
        Self::IcmpUnmatched,
        Self::PolicyChanged,
    ]);

    /// The reasons for which a session breaks the TLS floor of its flow, a bit each by number.
    pub const BREAKS_FLOOR: u64 = Self::bits(&[Self::TlsNotTls, Self::TlsTooOld, Self::TlsDowngraded]);

    /// The reasons for which there is no room for a client's new session, a bit each by number: the client is told (RFC 5508 REQ-8).
    pub const OUT_OF_RESOURCES: u64 = Self::bits(&[
        Self::PortsExhausted,
        Self::SessionsFull,
        Self::ClientSessions,
        Self::ClientRate,
        Self::ClientPorts,
    ]);

    /// The reasons for which a client is told whether or not the policy rejects, a bit each by number.
    pub const ALWAYS_TOLD: u64 = Self::OUT_OF_RESOURCES | Self::bits(&[Self::UplinkLost]);

    /// The reasons for which `refuse: reject` tells a client that its packet was refused, a bit each by number. Who forges, or sends
    /// what contradicts itself, is told nothing.
    pub const REJECTED: u64 = Self::ALWAYS_TOLD
        | Self::bits(&[
            Self::NoFlow,
            Self::AddressUnknown,
            Self::AddressExpired,
            Self::UplinkDown,
            Self::UplinkPrefix,
            Self::UnknownProtocol,
            Self::Ipv6Unsupported,
            Self::TcpNotSyn,
            Self::PolicyChanged,
            Self::NoUplinkAddress,
        ]);

    const fn bits(reasons: &[Self]) -> u64 {
        let mut bits = 0;
        let mut index = 0;
        while index < reasons.len() {
            bits |= 1 << reasons[index] as u8;
            index += 1;
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index + 1, "numbers are append-only and dense");
            assert!(Reason::ALL[..index].iter().all(|earlier| earlier.name() != reason.name()));
            assert_eq!(Reason::from_number(*reason as u8), Some(*reason));
        }
    }
}
