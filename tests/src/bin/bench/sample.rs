//! The words of the bench: who is compared, over what, and what one measurement says.

use serde::Serialize;

/// Flow counts that are measured, ascending; the flows of one are among those of the next.
pub(crate) const FLOWS: [u32; 5] = [1, 1_000, 10_000, 100_000, 1_000_000];

/// A way of forwarding that is compared with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// The kernel's own forwarding by its routes, with neither filter nor translation.
    KernelForwarding,
    /// An nftables stateful filter with masquerade, of the same policy.
    Nftables,
    /// This product with `xdp: off`.
    XdpOff,
    /// This product with `xdp: native`.
    XdpNative,
    /// An XDP program that writes other MAC addresses and redirects: the limit.
    BareRedirect,
}

impl Contender {
    /// All, in the order in which a round measures them.
    pub(crate) const ALL: [Self; 5] =
        [Self::KernelForwarding, Self::Nftables, Self::XdpOff, Self::XdpNative, Self::BareRedirect];

    /// What tables and plots call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KernelForwarding => "kernel forwarding",
            Self::Nftables => "nftables filter + masquerade",
            Self::XdpOff => "thulium-ctl, xdp: off",
            Self::XdpNative => "thulium-ctl, xdp: native",
            Self::BareRedirect => "bare XDP redirect",
        }
    }

    /// True if it translates, and so has to know its sessions.
    pub(crate) const fn keeps_sessions(self) -> bool {
        matches!(self, Self::Nftables | Self::XdpOff | Self::XdpNative)
    }
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// From the clients to the internet.
    Out,
    /// The replies.
    Back,
}

impl Direction {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Out, Self::Back];

    /// What tables and plots call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Back => "back",
        }
    }
}

/// One measurement of established sessions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Whose.
    pub(crate) contender: Contender,
    /// Which way the packets went.
    pub(crate) direction: Direction,
    /// Over how many flows they were spread evenly.
    pub(crate) flows: u32,
    /// In which round, from 0: ratios are formed between samples of one round.
    pub(crate) round: u32,
    /// Packets that the source sent.
    pub(crate) sent: u64,
    /// Packets that reached the sink.
    pub(crate) delivered: u64,
    /// Packets that were lost where there is no gateway.
    pub(crate) wire_lost: u64,
    /// CPU time per delivered packet of source, gateway and sink together, nanoseconds.
    pub(crate) whole: f64,
    /// The same of this round's source and sink alone, with no gateway between them, nanoseconds.
    pub(crate) wire: f64,
}

impl Sample {
    /// The gateway's CPU time per packet, nanoseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.whole - self.wire
    }

    /// True if it may be compared: no packet was lost, neither with a gateway nor without.
    pub(crate) const fn is_sound(&self) -> bool {
        self.sent > 0 && self.sent == self.delivered && self.wire_lost == 0
    }
}
