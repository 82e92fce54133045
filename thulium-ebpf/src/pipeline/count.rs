//! The one way of a refusal into the counters: each refused packet is counted exactly once.

use aya_ebpf::bindings::BPF_NOEXIST;

use crate::{
    abi::{Counter, Direction, DropKey, Family, Verdict},
    frame::Hook,
    maps::DROPS,
    moment::Moment,
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
    let verdict = if refusal.is_unmatched() && moment.settings.pass_unmatched == 1 {
        Verdict::Pass
    } else if moment.settings.audit == 1 {
        Verdict::WouldDrop
    } else {
        Verdict::Drop
    };
    let (family, bytes) = measure(frame);
    let key = DropKey {
        interface: frame.interface(),
        reason: refusal.reason(),
        direction: direction as u8,
        family: family as u8,
        verdict: verdict as u8,
        flow: refusal.flow(),
        pad: [0; 3],
    };
    add(&key, u64::from(frame.segments()), bytes);
    if verdict == Verdict::Drop { Fate::Dropped } else { Fate::Spared }
}

/// Family and IP bytes of a refused packet, as far as it tells them itself: a short frame is padded behind its end. The frame's
/// own length counts where a header lies.
#[inline(always)]
fn measure<H: Hook>(frame: &H) -> (Family, u64) {
    const IPV6_HEADER: u64 = 40;
    let network = frame.network();
    let present = frame.length().saturating_sub(network) as u64;
    let word = |offset| frame.read::<u16>(network + offset).map_or(0, |word| u64::from(u16::from_be(word)));
    let is_ipv6 = frame.read::<u8>(network).is_some_and(|first| first >> 4 == 6);
    let (family, told) = if is_ipv6 { (Family::Ipv6, word(4) + IPV6_HEADER) } else { (Family::Ipv4, word(2)) };
    let is_plausible = told >= 20 && told <= present;
    (family, if is_plausible { told } else { present })
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
