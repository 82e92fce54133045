//! Frames through the hooks; the counters are compared with the refusals.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use thulium_ebpf::abi::{Address4, Address6, FlowEntry, FlowKey, Port, Side, Verdict};
use thulium_tests::packet::random::{Chance, Talk};

use super::{
    answer::is_answer,
    cast::{Family, talk_of_anybody, talk_out},
    ledger::Ledger,
    reading::NETWORK,
};
use crate::{
    gateway::{Action, Gateway, Hook, Ran},
    maps::FLOWS,
    traffic::STRANGER,
};

/// Frames after which the counters are looked at.
const BATCH: usize = 64;

/// What a refusal is counted under: direction, interface, family.
type Place = (&'static str, &'static str, &'static str);

/// A frame that was handed to a hook.
struct Sent {
    hook: Hook,
    mark: u32,
    frame: Vec<u8>,
    is_refused: bool,
}

/// A gateway under trial, and what may pass it.
pub(super) struct Trial {
    pub(super) chance: Chance,
    pub(super) ledger: Ledger,
    /// Replies that the kernel's own NAT awaits.
    pub(super) awaited: HashSet<Talk>,
    /// Packets that were redirected.
    pub(super) redirected: usize,
    /// ICMP errors that passed.
    pub(super) errors: usize,
    gateway: Gateway,
    batch: Vec<Sent>,
    sent: usize,
}

impl Trial {
    /// A gateway that governs both families, and random numbers from the stream of this name.
    pub(super) fn new(stream: &str) -> Self {
        let mut gateway = Gateway::with_flow_entries(1 << 16);
        gateway.prepare();
        Self {
            chance: Chance::of(stream),
            ledger: Ledger::default(),
            awaited: HashSet::new(),
            redirected: 0,
            errors: 0,
            gateway,
            batch: Vec::new(),
            sent: 0,
        }
    }

    /// Ends the sessions of IPv4.
    pub(super) fn forget_traffic(&mut self) {
        self.gateway.forget_traffic();
        self.ledger.forget();
    }

    /// Somebody who talks from the LAN, or to a session of it from the world.
    pub(super) fn talk(&mut self, family: Family, is_out: bool) -> Talk {
        if is_out {
            return talk_out(&mut self.chance, family);
        }
        if self.ledger.known.is_empty() || self.chance.once_in(5) {
            return talk_of_anybody(&mut self.chance, family);
        }
        let session = self.ledger.known[self.chance.below(self.ledger.known.len())];
        let client = self.ledger.outside(session.source, session.protocol).unwrap_or(session.source);
        let mut reply = Talk { source: client, ..session }.reversed();
        match self.chance.below(12) {
            0 => reply.source.set_port(reply.source.port() ^ 1),
            1 => reply.destination.set_port(reply.destination.port() ^ 1),
            2 => reply.protocol ^= 6 ^ 17,
            3 if reply.source.is_ipv4() => reply.source.set_ip(STRANGER.into()),
            4 => reply.destination = session.source,
            _ => {}
        }
        reply
    }

    /// Hands a frame to a hook.
    pub(super) fn hand(&mut self, hook: Hook, frame: &[u8], mark: u32) -> Ran {
        let ran = self.gateway.run(hook, frame, mark, 0);
        let is_refused = ran.action == Action::Drop || is_answer(hook, frame, &ran);
        self.batch.push(Sent { hook, mark, frame: frame.to_vec(), is_refused });
        self.sent += 1;
        if self.batch.len() >= BATCH {
            self.compare_counters();
        }
        ran
    }

    /// True if the datapath has this session. It is asked only about what it refused: what it may open is not its to say.
    pub(super) fn has_session(&mut self, talk: &Talk) -> bool {
        match (talk.source.ip(), talk.destination.ip()) {
            (IpAddr::V4(client), IpAddr::V4(remote)) => {
                let key = flow_key::<Address4>(talk, client.into(), remote.into());
                self.gateway.has_flow(&key)
            }
            (IpAddr::V6(client), IpAddr::V6(remote)) => {
                let key = flow_key::<Address6>(talk, client.into(), remote.into());
                self.gateway.hash::<_, FlowEntry<Address6>>("flows6").get(&key, 0).is_ok()
            }
            _ => false,
        }
    }

    /// Ends the test: a frame did what it must not.
    pub(super) fn fail(&self, hook: Hook, frame: &[u8], ran: Option<&Ran>, what: &str) -> ! {
        // Headers tell more than payloads.
        let hex = |bytes: &[u8]| bytes.iter().take(200).map(|byte| format!("{byte:02x}")).collect::<String>();
        let became = ran.map(|ran| format!("\n{:?}, mark {:#x}\nframe  {}", ran.action, ran.mark, hex(&ran.packet)));
        let (seed, sent) = (self.chance.seed(), self.sent);
        panic!(
            "{what}\n{hook:?}, THULIUM_SEED={seed}, frame {sent}\nbefore {}  {}{}",
            hex(&frame[..NETWORK]),
            hex(&frame[NETWORK..]),
            became.unwrap_or_default()
        );
    }

    /// Compares the last counters, and says how much was done.
    pub(super) fn finish(&mut self) {
        self.compare_counters();
        let (packets, errors, seed) = (self.redirected, self.errors, self.chance.seed());
        eprintln!(
            "{} frames at hooks, {packets} packets and {errors} ICMP errors passed, THULIUM_SEED={seed}",
            self.sent
        );
    }

    /// Each refusal is counted once, under its direction, interface and family, and nothing else is counted.
    fn compare_counters(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let mut expected = HashMap::new();
        for sent in batch.iter().filter(|sent| sent.is_refused) {
            *expected.entry(place(sent)).or_insert(0) += 1;
        }
        if self.counted() != expected {
            self.find_miscounted(&batch);
        }
    }

    /// What was counted since the last call.
    fn counted(&mut self) -> HashMap<Place, u64> {
        let mut counted = HashMap::new();
        for row in self.gateway.take_refused() {
            assert_eq!(row.refused.verdict, Verdict::Drop, "{row:?}");
            assert!(row.refused.flow.is_none_or(|slot| FLOWS.iter().any(|flow| flow.0 == slot)), "{row:?}");
            *counted.entry((row.direction, row.interface, row.family)).or_insert(0) += row.packets;
        }
        counted
    }

    /// Sends the frames of a batch again, one at a time, to tell which one was counted wrongly.
    fn find_miscounted(&mut self, batch: &[Sent]) -> ! {
        for sent in batch {
            let ran = self.gateway.run(sent.hook, &sent.frame, sent.mark, 0);
            let expected =
                (ran.action == Action::Drop || is_answer(sent.hook, &sent.frame, &ran)).then(|| (place(sent), 1));
            let counted = self.counted();
            if counted != expected.into_iter().collect() {
                self.fail(sent.hook, &sent.frame, Some(&ran), &format!("it was counted as {counted:?}"));
            }
        }
        panic!(
            "the counters differ from the refusals before frame {}, but not when the frames are sent again",
            self.sent
        );
    }
}

/// The key of a session, as its client sees it.
fn flow_key<A>(talk: &Talk, source: A, destination: A) -> FlowKey<A> {
    let [source_port, destination_port] = [talk.source, talk.destination].map(|endpoint| Port::new(endpoint.port()));
    FlowKey {
        source,
        destination,
        source_port,
        destination_port,
        protocol: talk.protocol,
        side: Side::Lan as u8,
        pad: 0,
    }
}

fn place(sent: &Sent) -> Place {
    let (direction, interface) = sent.hook.place();
    let is_ipv6 = sent.frame.get(NETWORK).is_some_and(|first| first >> 4 == 6);
    (direction, interface, if is_ipv6 { "ipv6" } else { "ipv4" })
}
