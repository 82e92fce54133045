//! The one way of a refusal into the counters: each refused packet is counted exactly once.

use aya_ebpf::bindings::BPF_NOEXIST;

use super::{Hook, Moment};
use crate::{
    abi::{Counter, Direction, DropKey, Family, Verdict},
    maps::DROPS,
    verdict::Refusal,
};

/// What becomes of a packet that the pipeline refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is dropped.
    Dropped,
    /// It is left to the kernel: audit mode, or `unmatched: pass`.
    Spared,
}

/// Counts a refusal and says what becomes of the packet.
#[inline(never)]
pub fn refuse<H: Hook>(frame: &H, direction: Direction, refusal: &Refusal, moment: &Moment) -> Fate {
    let verdict = if refusal.reason.is_unmatched() && moment.settings.pass_unmatched == 1 {
        Verdict::Pass
    } else if moment.settings.audit == 1 {
        Verdict::WouldDrop
    } else {
        Verdict::Drop
    };
    let (family, bytes) = measure(frame);
    let key = DropKey {
        interface: frame.interface(),
        reason: refusal.reason as u8,
        direction: direction as u8,
        family: family as u8,
        verdict: verdict as u8,
        flow: refusal.flow,
        pad: [0; 3],
    };
    add(&key, u64::from(frame.segments()), bytes);
    if verdict == Verdict::Drop { Fate::Dropped } else { Fate::Spared }
}

/// Family and IP bytes of a refused packet: what the frame holds behind its link header.
#[inline(always)]
fn measure<H: Hook>(frame: &H) -> (Family, u64) {
    const LINK: usize = network_types::eth::EthHdr::LEN;
    let family = match frame.read::<u8>(LINK) {
        Some(first) if first >> 4 == 6 => Family::Ipv6,
        _ => Family::Ipv4,
    };
    (family, frame.length().saturating_sub(LINK) as u64)
}

#[inline(always)]
fn add(key: &DropKey, packets: u64, bytes: u64) {
    if DROPS.get_ptr(key).is_none() {
        // Another CPU may be faster; then its entry has a place for ours, too.
        let _ = DROPS.insert(key, Counter::default(), u64::from(BPF_NOEXIST));
    }
    let Some(counter) = DROPS.get_ptr_mut(key) else { return };
    // SAFETY: a per-CPU value; a program on the same CPU can interrupt only between, not within, a word's update.
    unsafe {
        (*counter).packets += packets;
        (*counter).bytes += bytes;
    }
}
