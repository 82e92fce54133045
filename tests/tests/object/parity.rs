//! XDP and TC do the same: traffic by chance goes by XDP, and by TC where XDP lets it go up; and once more, in another gateway, by the
//! long way of TC alone. What becomes of each packet is compared byte by byte, and so are the sessions in the end.
//!
//! A failure prints the seed; `THULIUM_SEED=number` makes the same traffic again, or other.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use thulium_ebpf::abi::{Side, UplinkState};
use thulium_tests::packet::random::{Chance, Talk, frame, packets, plain, spoil};

use crate::{
    fast,
    gateway::{Action, Gateway, Hook},
    maps::{FLOWS, GRACE, TCP_IDLE, UDP_IDLE},
    network::HARDWARE,
    refused::Row,
    traffic::*,
};

/// Steps, almost all of them packets.
const STEPS: usize = 40_000;
/// Clients of each family. Each has ports of its own, which it keeps outside: no port is drawn by chance.
const CLIENTS: u8 = 4;

/// What happens to a gateway.
#[derive(Clone, Debug)]
enum Step {
    /// A frame comes in, from a client or from the world.
    Packet { is_out: bool, frame: Vec<u8> },
    /// So many seconds pass for one direction of every session, or for both.
    Age(Vec<Side>, u64),
    /// Another generation of the policy: every other one lacks the calls' media.
    Publish(u32),
    /// The uplink's address was lost, and is back.
    Epoch(u32),
    /// The uplink can do this at present.
    State(UplinkState),
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Sent on, as this packet behind the link header.
    Sent(Vec<u8>),
    /// Left to the kernel or dropped, uncounted, as this packet and with this mark.
    Left(Action, Vec<u8>, u32),
    /// Refused, and counted so.
    Refused(Vec<Row>),
}

/// What a gateway has made of all steps.
struct Story {
    fates: Vec<Option<Fate>>,
    /// Packets, bytes, TCP state, generation and what is rewritten, of each direction of each session.
    sessions: BTreeMap<String, String>,
    by_xdp: usize,
}

#[test]
fn what_xdp_does_tc_would_have_done() {
    let mut chance = Chance::of("parity");
    let steps = steps(&mut chance);
    let (fast, long) = thread::scope(|scope| {
        let runs = [true, false].map(|by_xdp| {
            scope.spawn({
                let steps = &steps;
                move || run(steps, by_xdp)
            })
        });
        let [fast, long] = runs.map(|run| run.join().expect("a gateway runs all steps"));
        (fast, long)
    });
    let seed = chance.seed();
    for (index, (fast, long)) in fast.fates.iter().zip(&long.fates).enumerate() {
        assert_eq!(fast, long, "THULIUM_SEED={seed}, step {index}: {:02x?}; by XDP, and by TC", steps[index]);
    }
    assert_eq!(fast.sessions, long.sessions, "THULIUM_SEED={seed}: the sessions by XDP, and by TC");
    let sent = fast.fates.iter().filter(|fate| matches!(fate, Some(Fate::Sent(_)))).count();
    assert!(
        fast.by_xdp > STEPS / 16 && sent > fast.by_xdp + STEPS / 16,
        "{} of {sent} by XDP: not a test of both",
        fast.by_xdp
    );
}

fn steps(chance: &mut Chance) -> Vec<Step> {
    let (mut steps, mut generation, mut epoch) = (Vec::new(), 1, 1);
    while steps.len() < STEPS {
        if chance.once_in(400) {
            let seconds = chance.pick(&[UDP_IDLE, TCP_IDLE]) + GRACE;
            steps.push(match chance.below(5) {
                0 => {
                    generation += 1;
                    Step::Publish(generation)
                }
                1 => {
                    epoch += 1;
                    Step::Epoch(epoch)
                }
                2 => Step::Age(vec![chance.pick(&[Side::Lan, Side::Uplink])], seconds),
                3 => Step::Age(vec![Side::Lan, Side::Uplink], seconds),
                _ => Step::State(chance.pick(&[UplinkState::Held, UplinkState::Lost])),
            });
            continue;
        }
        if chance.once_in(40) {
            steps.push(Step::State(UplinkState::Up));
        }
        let is_out = chance.once_in(2);
        let talk = if is_out { talk(chance) } else { talk_back(chance) };
        let is_odd = chance.once_in(3);
        let packets = if is_odd { packets(chance, &talk) } else { vec![plain(chance, &talk)] };
        for packet in packets {
            let mut frame = frame(HARDWARE, &packet);
            let whole = frame.clone();
            if is_odd && chance.once_in(2) {
                spoil(chance, &mut frame);
                keep_sender(&mut frame, &whole, is_out);
                // The kernel hands over no shorter one to a program of TC.
                frame.resize(frame.len().max(14 + 40), 0);
            }
            steps.push(Step::Packet { is_out, frame });
        }
    }
    steps
}

/// Leaves a client its address and port: with another's it would meet ports that are taken, and get one by chance.
fn keep_sender(frame: &mut [u8], whole: &[u8], is_out: bool) {
    for range in [26..30, 34..36] {
        if is_out && let (Some(to), Some(from)) = (frame.get_mut(range.clone()), whole.get(range)) {
            to.copy_from_slice(from);
        }
    }
}

/// Who of the policy's clients sends what where.
fn talk(chance: &mut Chance) -> Talk {
    let client = chance.below(CLIENTS.into()) as u8;
    let (protocol, remote, base) =
        chance.pick(&[(17, SIP_PORT, 5000), (17, 16000, 20000), (17, 16001, 20000), (6, 443, 21000), (6, 443, 21000)]);
    let port = base + 100 * u16::from(client) + chance.below(2) as u16;
    let (from, to): (IpAddr, IpAddr) = if chance.once_in(4) {
        let mut host = CLIENT6.segments();
        host[7] += u16::from(client);
        (Ipv6Addr::from(host).into(), SERVER6.into())
    } else {
        let [a, b, c, d] = CLIENT.octets();
        (Ipv4Addr::new(a, b, c, d + client).into(), SERVER.into())
    };
    Talk { source: SocketAddr::new(from, port), destination: SocketAddr::new(to, remote), protocol }
}

/// The answer, as it arrives at the uplink; now and then a stranger's.
fn talk_back(chance: &mut Chance) -> Talk {
    let mut back = talk(chance).reversed();
    if back.source.is_ipv4() {
        back.destination.set_ip(UPLINK.into());
    }
    if chance.once_in(20) {
        back.source.set_ip(if back.source.is_ipv4() { STRANGER.into() } else { STRANGER6.into() });
    }
    back
}

fn run(steps: &[Step], by_xdp: bool) -> Story {
    // Without neighbours, TC takes the long way, too.
    let mut gateway = if by_xdp { fast::gateway() } else { Gateway::new() };
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    gateway.set(|settings| settings.session_cost = 0);
    let mut story = Story { fates: Vec::new(), sessions: BTreeMap::new(), by_xdp: 0 };
    for step in steps {
        let fate = match step {
            Step::Packet { is_out, frame } => Some(packet(&mut gateway, (*is_out, by_xdp), frame, &mut story.by_xdp)),
            other => {
                change(&mut gateway, other);
                None
            }
        };
        story.fates.push(fate);
    }
    let four = gateway.flows();
    let four = four.iter().map(|(key, one)| {
        let told = (one.packets, one.bytes, one.state, one.generation, one.rewrite, one.flow, one.lan);
        (format!("{key:?}"), format!("{told:?}"))
    });
    let six = gateway.flows6();
    let six = six.iter().map(|(key, one)| {
        let told = (one.packets, one.bytes, one.state, one.generation, one.rewrite, one.flow, one.lan);
        (format!("{key:?}"), format!("{told:?}"))
    });
    story.sessions = four.chain(six).collect();
    story
}

fn change(gateway: &mut Gateway, step: &Step) {
    match step {
        Step::Packet { .. } => {}
        Step::Age(sides, seconds) => {
            for side in sides {
                gateway.age(*side, *seconds);
                gateway.age6(*side, *seconds);
            }
        }
        Step::Publish(generation) => {
            let flows = if generation % 2 == 0 { &FLOWS[..2] } else { &FLOWS };
            gateway.publish(*generation, flows);
            gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
            gateway.set(|settings| settings.session_cost = 0);
        }
        Step::Epoch(epoch) => gateway.set_uplink(UPLINK.into(), *epoch),
        Step::State(state) => gateway.change_uplink(0, |uplink| uplink.state = *state as u32),
    }
}

fn packet(gateway: &mut Gateway, (is_out, by_xdp): (bool, bool), frame: &[u8], sent: &mut usize) -> Fate {
    if by_xdp {
        let (program, interface) = if is_out { ("lan_xdp", gateway.lan) } else { ("uplink_xdp", gateway.wan) };
        let (action, after) = gateway.run_xdp(program, interface, frame);
        match action {
            Action::Redirect => {
                *sent += 1;
                let to = if is_out { fast::ROUTER } else { fast::PHONE };
                assert_eq!((&after[..6], &after[6..12]), (&to[..], &HARDWARE[..]), "to whom, and from whom");
                assert_eq!(gateway.take_refused(), []);
                return Fate::Sent(after[14..].to_vec());
            }
            Action::Drop => return Fate::Refused(gateway.take_refused()),
            Action::Pass => assert_eq!((after.as_slice(), gateway.take_refused()), (frame, vec![]), "up as it came"),
        }
    }
    let ran = gateway.send_frame(if is_out { Hook::Lan } else { Hook::Uplink }, frame);
    let refused = gateway.take_refused();
    match ran.action {
        // Whether a client is told depends on how many were told a moment ago.
        _ if !refused.is_empty() => Fate::Refused(refused),
        Action::Redirect => Fate::Sent(ran.packet),
        action => Fate::Left(action, ran.packet, ran.mark),
    }
}
