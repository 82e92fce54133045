//! Packets by chance through every hook, checked by somebody who knows the policy and the RFCs, and nothing of the datapath.
//!
//! * `cast` says who talks to whom,
//! * `reading` reads a frame strictly: what it cannot read is no packet of a session,
//! * `ledger` knows the policy and the sessions that were opened, and so what may pass,
//! * `rewrite` compares a packet that passed with the one that came, `error` does so for ICMP errors,
//! * `answer` knows what a refused client is told,
//! * `hooks` says what each hook may do with a frame,
//! * `trial` hands frames to the hooks, and compares the counters with the refusals.
//!
//! A failure prints the seed, the frame, and what was wrong. `THULIUM_SEED=number` makes the same frames again, or others.

mod answer;
mod cast;
mod error;
mod hooks;
mod ledger;
mod reading;
mod rewrite;
mod trial;

use thulium_tests::packet::random::{Chance, frame, packets, plain, spoil};

use self::{
    cast::{Family, talk_out},
    trial::Trial,
};
use crate::network::HARDWARE;

/// Frames of each family that are made out of what hosts send.
const SPOILED: usize = 360_000;
/// Frames that are random behind their Ethernet header.
const RANDOM: usize = 240_000;
/// Frames after which all traffic is forgotten, so that sessions are opened again and tables do not fill.
const EPISODE: usize = 4_000;

/// Right and spoiled packets of one family, from both sides.
fn spoiled_packets(stream: &str, family: Family) {
    let mut trial = Trial::new(stream);
    let mut sent = 0;
    while sent < SPOILED {
        if sent % EPISODE < 3 {
            trial.forget_traffic();
        }
        let is_out = trial.chance.once_in(2);
        let talk = trial.talk(family, is_out);
        for packet in packets(&mut trial.chance, &talk) {
            let mut frame = frame(HARDWARE, &packet);
            if trial.chance.once_in(2) {
                spoil(&mut trial.chance, &mut frame);
            }
            trial.send(is_out, &frame);
            sent += 1;
        }
    }
    trial.finish();
    let (packets, errors) = (trial.redirected, trial.errors);
    assert!(packets > SPOILED / 8 && errors > 1000, "{packets} packets, {errors} errors passed: too few for a test");
}

#[test]
fn no_packet_of_ipv4_passes_that_the_policy_does_not_name() {
    spoiled_packets("ipv4", Family::V4);
}

#[test]
fn no_packet_of_ipv6_passes_that_the_policy_does_not_name() {
    spoiled_packets("ipv6", Family::V6);
}

#[test]
fn no_random_bytes_pass() {
    let mut trial = Trial::new("bytes");
    for _ in 0..RANDOM {
        let length = trial.chance.below(120);
        let mut bytes = trial.chance.bytes(length);
        // Else the first nibble ends it.
        let version = trial.chance.pick(&[0x45, 0x45, 0x60, 0x60, 0x46]);
        if let Some(first) = bytes.first_mut().filter(|_| !length.is_multiple_of(8)) {
            *first = version;
        }
        let is_out = trial.chance.once_in(2);
        trial.send(is_out, &frame(HARDWARE, &bytes));
    }
    trial.finish();
}

#[test]
fn no_packet_passes_that_was_cut_short() {
    let mut trial = Trial::new("cut");
    let mut sent = 0;
    while sent < RANDOM / 4 {
        let family = trial.chance.pick(&[Family::V4, Family::V6]);
        let out = talk_out(&mut trial.chance, family);
        let opening = plain(&mut trial.chance, &out);
        trial.send(true, &frame(HARDWARE, &opening));
        for is_out in [true, false] {
            let talk = if is_out { out } else { trial.talk(family, false) };
            let packet = packets(&mut trial.chance, &talk).remove(0);
            let whole = frame(HARDWARE, &packet);
            for length in 14..=whole.len().min(300) {
                trial.send(is_out, &whole[..length]);
                sent += 1;
            }
        }
    }
    trial.finish();
}

#[test]
fn the_same_seed_makes_the_same_packets() {
    let make = |stream| {
        let mut chance = Chance::of(stream);
        let talk = talk_out(&mut chance, Family::V4);
        let mut frame = frame(HARDWARE, &plain(&mut chance, &talk));
        spoil(&mut chance, &mut frame);
        frame
    };
    assert_eq!(make("a"), make("a"));
    assert_ne!(make("a"), make("b"));
}
