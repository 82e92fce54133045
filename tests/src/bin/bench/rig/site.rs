//! One contender's gateway, between its own LAN and internet.

use std::{fmt::Write as _, fs, net::Ipv4Addr, ops::Range};

use anyhow::{Context, Result, ensure};
use thulium_ebpf::bench::{CLIENTS, Expectation, FIRST_CLIENT, Order, TTL, Way, far_step};
use thulium_tests::lab::{Gateway, LAN_MAC, Lab, NEXT_HOP, Namespace, UPLINK, WAN_MAC, eventually};

use super::{
    conntrack, policy,
    traffic::{Passage, Traffic, index},
};
use crate::sample::{Contender, Direction};

/// A gateway, or the place where one would be, with a source and a sink at either end.
pub(super) struct Site<'lab> {
    pub(super) lab: &'lab Lab,
    /// None: source and sink, and nothing between them.
    pub(super) contender: Option<Contender>,
    /// The daemon, where the contender is this product.
    pub(super) gateway: Option<Gateway<'lab>>,
    /// For how many flows it has sessions.
    pub(super) flows: u32,
    /// Sessions that there is room for.
    capacity: u32,
    /// The ends, where packets are sent from: that of the LAN, and that of the internet.
    ends: [End; 2],
}

/// The interface `eth0` at one end.
#[derive(Clone, Copy)]
struct End {
    index: u32,
    mac: [u8; 6],
}

impl End {
    fn of(namespace: &Namespace) -> Result<Self> {
        let json = namespace.output("ip", "-json link show dev eth0")?;
        let links: serde_json::Value = serde_json::from_str(&json)?;
        let index = links[0]["ifindex"].as_u64().and_then(|index| index.try_into().ok());
        let bytes = links[0]["address"].as_str().map(|mac| mac.split(':').map(|byte| u8::from_str_radix(byte, 16)));
        let mac = bytes.and_then(|bytes| bytes.collect::<Result<Vec<u8>, _>>().ok()?.try_into().ok());
        index.zip(mac).map(|(index, mac)| Self { index, mac }).with_context(|| format!("eth0 has no address: {json}"))
    }

    fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

impl<'lab> Site<'lab> {
    /// Sets the gateway up.
    ///
    /// # Errors
    /// When a step fails.
    pub(super) fn set_up(lab: &'lab Lab, contender: Option<Contender>, traffic: &mut Traffic) -> Result<Self> {
        let ends = [End::of(&lab.lan)?, End::of(&lab.internet)?];
        let mut site = Self { lab, contender, gateway: None, flows: 0, capacity: policy::CAPACITY, ends };
        let Some(contender) = contender else {
            traffic.attach("sink", &lab.gw, "lan0")?;
            traffic.attach("sink", &lab.gw, "wan0")?;
            return Ok(site);
        };
        traffic.attach("sink", &lab.lan, "eth0")?;
        traffic.attach("sink", &lab.internet, "eth0")?;
        site.offloads()?;
        site.neighbours()?;
        match contender {
            Contender::KernelForwarding => {}
            Contender::Nftables => conntrack::set_up(lab)?,
            Contender::XdpOff | Contender::XdpNative => site.start(policy::CAPACITY)?,
            Contender::BareRedirect => site.redirect(traffic)?,
        }
        Ok(site)
    }

    /// Starts the daemon with room for so many sessions, if the contender is this product; without any session.
    fn start(&mut self, capacity: u32) -> Result<()> {
        let xdp = match self.contender {
            Some(Contender::XdpOff) => "off",
            Some(Contender::XdpNative) => "native",
            _ => return Ok(()),
        };
        if let Some(mut former) = self.gateway.take() {
            former.down()?;
        }
        // The kernel lets a detached program go some time after its last pin is gone, and until then it seems to be another instance's.
        let start = || self.lab.start(&policy::text(xdp, capacity));
        self.gateway = Some(eventually("the daemon to start", start)?);
        self.capacity = capacity;
        self.flows = 0;
        Ok(())
    }

    /// A veth takes XDP frames in only while it polls, which it does with GRO on.
    fn offloads(&self) -> Result<()> {
        for interface in ["lan0", "wan0"] {
            self.lab.gw.output("ethtool", &format!("-K {interface} gro on"))?;
        }
        Ok(())
    }

    /// Tells the gateway everybody's MAC address for good: no sample is to have a neighbour's discovery in it.
    fn neighbours(&self) -> Result<()> {
        let [lan, internet] = self.ends.map(|end| end.mac_text());
        let mut batch = format!("neighbour replace {NEXT_HOP} dev wan0 lladdr {internet} nud permanent\n");
        for client in (FIRST_CLIENT..FIRST_CLIENT + CLIENTS).map(Ipv4Addr::from) {
            writeln!(batch, "neighbour replace {client} dev lan0 lladdr {lan} nud permanent")?;
        }
        let file = self.lab.dir().join("neighbours");
        fs::write(&file, batch)?;
        self.lab.gw.ip(&format!("-batch {}", file.display()))
    }

    fn redirect(&self, traffic: &mut Traffic) -> Result<()> {
        let gw = &self.lab.gw;
        let (lan, wan) = (index(gw, "lan0")?, index(gw, "wan0")?);
        let [client, router] = self.ends.map(|end| end.mac);
        traffic.lead(lan, Way { to: router, from: WAN_MAC, interface: wan })?;
        traffic.lead(wan, Way { to: client, from: LAN_MAC, interface: lan })?;
        traffic.attach("bare", gw, "lan0")?;
        traffic.attach("bare", gw, "wan0")
    }

    /// Sends `packets` over `flows`; checks each of them if that is asked for.
    ///
    /// # Errors
    /// When they cannot be sent. Not when they do not arrive.
    pub(super) fn send(
        &self,
        traffic: &mut Traffic,
        direction: Direction,
        flows: u32,
        packets: u32,
        check: bool,
    ) -> Result<Passage> {
        // What opens sessions is checked, and keeps to the order.
        let step = if traffic.scattered && !check { far_step(flows) } else { 1 };
        self.pass(traffic, direction, 0..flows, step, packets, check)
    }

    /// Sends the first packet of each of these flows.
    ///
    /// # Errors
    /// As for [`Site::send`].
    pub(super) fn begin(&self, traffic: &mut Traffic, flows: Range<u32>) -> Result<Passage> {
        let packets = flows.end - flows.start;
        self.pass(traffic, Direction::Out, flows, 1, packets, false)
    }

    fn pass(
        &self,
        traffic: &mut Traffic,
        direction: Direction,
        flows: Range<u32>,
        step: u32,
        packets: u32,
        check: bool,
    ) -> Result<Passage> {
        let [lan, internet] = self.ends;
        let (back, from, end, to) = match direction {
            Direction::Out => (0, &self.lab.lan, lan, LAN_MAC),
            Direction::Back => (1, &self.lab.internet, internet, WAN_MAC),
        };
        let external = if self.translates() { UPLINK.to_bits() } else { 0 };
        let Range { start: next, end: flows } = flows;
        let order =
            Order { to, from: end.mac, interface: end.index, back, external, flows, next, step, ..Order::default() };
        let expectation = Expectation { check: u32::from(check), back, external, ttl: u32::from(TTL) - self.hops() };
        traffic.send(from, order, expectation, packets)
    }

    /// Opens sessions until there are `flows`, in both directions, and checks everything that arrives.
    ///
    /// # Errors
    /// When something does not arrive, or not as it should.
    pub(super) fn open(&mut self, traffic: &mut Traffic, flows: u32) -> Result<()> {
        // What is measured beside the packets opens some more.
        if flows > self.capacity / 2 && self.capacity < policy::LARGE_CAPACITY {
            self.start(policy::LARGE_CAPACITY)?;
        }
        // The first pass opens, the second answers; then both once more as they will be measured.
        for direction in [Direction::Out, Direction::Back, Direction::Out, Direction::Back] {
            let passage = self.send(traffic, direction, flows, flows, true)?;
            let Passage { sent, delivered, wrong, .. } = passage;
            ensure!(
                delivered == sent && wrong == 0,
                "of {sent} packets {}, one a flow, {delivered} arrived, and {wrong} of them not as they should \
                 (address, port, TTL, checksums)",
                direction.name(),
            );
        }
        self.flows = self.flows.max(flows);
        Ok(())
    }

    const fn translates(&self) -> bool {
        matches!(self.contender, Some(contender) if contender.keeps_sessions())
    }

    /// By how much the TTL is to be less at the sink.
    const fn hops(&self) -> u32 {
        !matches!(self.contender, None | Some(Contender::BareRedirect)) as u32
    }
}
