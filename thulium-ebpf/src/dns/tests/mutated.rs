//! A million replies with something wrong in them teach nothing that they do not say.

use std::collections::HashSet;

use super::{NAME, draft::*, learned, oracle};

/// Replies that are tried.
const TRIALS: u64 = 1_000_000;

/// A generator of random numbers (xorshift64*; Vigna 2016), the same ones in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Below `bound`; 0 if that is 0.
    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound.max(1)
    }
}

/// A reply, and the type that was asked for.
type Sample = (u16, Vec<u8>);

fn samples() -> Vec<Sample> {
    let edge = [b"\x04edge".as_slice(), &[0xc0, 16]].concat();
    let chain = Draft::reply(NAME, A);
    let pointer = [0xc0, chain.end() as u8 + 12];
    let drafts = [
        (A, Draft::reply(NAME, A).a(&ASKED, 1)),
        (A, Draft::reply(NAME, A).a(&ASKED, 1).a(&ASKED, 2).a(&ASKED, 3).edns()),
        (A, Draft::reply("SIP.thulium.COM", A).a(&name(NAME), 1).a(&name("evil.example"), 66)),
        (A, chain.alias(&ASKED, &edge).a(&pointer, 4).a(&pointer, 5).a(&ASKED, 66)),
        (A, Draft::reply(NAME, A).alias(&ASKED, &name("x.y")).alias(&name("x.y"), &name("z")).a(&name("z"), 6)),
        (AAAA, Draft::reply(NAME, AAAA).record(&ASKED, AAAA, 300, &[0x20; 16]).a(&ASKED, 66)),
        (AAAA, Draft::reply(NAME, AAAA).alias(&ASKED, &edge).record(&edge, AAAA, 300, &[0x26; 16]).edns()),
    ];
    drafts.into_iter().map(|(kind, draft)| (kind, draft.0)).collect()
}

/// Changes a message in one place.
fn mutate(message: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(message.len());
    let Some(byte) = message.get_mut(at) else { return message.push(random.next() as u8) };
    match random.below(9) {
        0 | 1 => *byte ^= 1 << random.below(8),
        2 => *byte = random.next() as u8,
        3 => *byte = [0, 1, 4, 5, 16, 28, 0x3f, 0xc0, 0xff][random.below(9)],
        // A pointer.
        4 => {
            *byte = 0xc0;
            let to = random.below(80) as u8;
            if let Some(next) = message.get_mut(at + 1) {
                *next = to;
            }
        }
        5 => message.truncate(at),
        6 => drop(message.remove(at)),
        7 => message.insert(at, random.next() as u8),
        // Some of it once more, elsewhere.
        _ => {
            let end = (at + 1 + random.below(24)).min(message.len());
            let part = message[at..end].to_vec();
            let to = random.below(message.len());
            message.splice(to..to, part);
        }
    }
}

#[test]
fn replies_that_are_as_they_should_be_teach_what_they_say() {
    for (kind, message) in samples() {
        let said: HashSet<_> = learned(NAME, kind, &message).into_iter().collect();
        let chain_end = oracle::addresses(NAME, kind, &message);
        assert!(!said.is_empty() && said.is_subset(&chain_end), "{said:?} of {chain_end:?}");
    }
}

#[test]
fn a_million_mutated_replies_teach_nothing_false() {
    let (samples, mut random) = (samples(), Random(0x7468_756c_6975_6d21));
    let mut taught = 0;
    for trial in 0..TRIALS {
        let (kind, mut message) = samples[random.below(samples.len())].clone();
        for _ in 0..1 + random.below(4) {
            mutate(&mut message, &mut random);
        }
        let learned = learned(NAME, kind, &message);
        if learned.is_empty() {
            continue;
        }
        taught += 1;
        let said = oracle::addresses(NAME, kind, &message);
        let is_true = learned.iter().all(|address| said.contains(address));
        assert!(is_true, "trial {trial}: learned {learned:?}, and it says {said:?}: {message:02x?}");
    }
    // Otherwise it would have tried little.
    assert!(taught > TRIALS / 50 && taught < TRIALS / 2, "{taught} of them taught something");
}
