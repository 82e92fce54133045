//! What the pipeline decides. Plain words on purpose: in a Rust enum with data, bytes can be left undefined, and the
//! verifier refuses a program that only copies them.

use crate::abi::{NO_SLOT, Reason};

/// What becomes of a packet that is not refused.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(u64);

impl Verdict {
    /// Up to the kernel, untouched, as if nothing were installed.
    pub const PASS: Self = Self(0);
    /// Up to the kernel, untouched but for the mark: a governed client's, for the guard to judge if it is forwarded.
    pub const PASS_GOVERNED: Self = Self(1 << 32);
    /// Left to the kernel for somebody who is not governed, or on its way out for them.
    pub const PASS_FOREIGN: Self = Self(2 << 32);
    /// Translated: on, the way the kernel was taking it.
    pub const ONWARD: Self = Self(3 << 32);

    /// Up to the kernel, with the mark of the uplink of this slot: a governed client's packet that has to leave by it, or one that
    /// came in by it, which strict reverse path filtering lets in by this mark only.
    #[inline(always)]
    pub const fn pass_to(slot: u8) -> Self {
        Self(Self::TO_UPLINK | slot as u64)
    }

    /// The slot of the uplink whose mark it gets.
    #[inline(always)]
    pub const fn passed_to(self) -> Option<u8> {
        if self.0 & !0xff == Self::TO_UPLINK { Some(self.0 as u8) } else { None }
    }

    /// Translated: out of the uplink of this slot.
    #[inline(always)]
    pub const fn leave_by(slot: u8) -> Self {
        Self(Self::BY_UPLINK | slot as u64)
    }

    /// The slot of the uplink that it leaves by, if it is sent there.
    #[inline(always)]
    pub const fn uplink(self) -> Option<u8> {
        if self.0 & !0xff == Self::BY_UPLINK { Some(self.0 as u8) } else { None }
    }

    const TO_UPLINK: u64 = 4 << 32;
    const BY_UPLINK: u64 = 5 << 32;

    /// Translated: out of the interface with this index, which is not 0.
    #[inline(always)]
    pub const fn redirect(interface: u32) -> Self {
        Self(interface as u64)
    }

    /// The interface that it is sent out of, if it is redirected.
    #[inline(always)]
    pub const fn interface(self) -> Option<u32> {
        if self.0 >> 32 == 0 && self.0 != 0 { Some(self.0 as u32) } else { None }
    }
}

/// A refusal.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(u64);

impl Refusal {
    /// A refusal that concerns the flow of this slot.
    #[inline(always)]
    pub const fn of_flow(reason: Reason, flow: u8) -> Self {
        Self(reason as u64 | (flow as u64) << 8)
    }

    /// Why: a [`Reason`] as a number.
    #[inline(always)]
    pub const fn reason(self) -> u8 {
        self.0 as u8
    }

    /// Slot of the flow concerned, or [`NO_SLOT`].
    #[inline(always)]
    pub const fn flow(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// True if it is one that no flow names; `unmatched: pass` leaves these to the kernel.
    #[inline(always)]
    pub const fn is_unmatched(self) -> bool {
        Reason::UNMATCHED >> self.reason() & 1 == 1
    }

    /// True if the session ends that the packet belongs to, and the client is told.
    #[inline(always)]
    pub const fn ends_session(self) -> bool {
        Reason::BREAKS_FLOOR >> self.reason() & 1 == 1
    }

    /// True if its client is told that its connection is over, whether or not the policy rejects: it would wait for minutes.
    #[inline(always)]
    pub const fn is_reset(self) -> bool {
        self.reason() == Reason::UplinkLost as u8
    }

    /// True if its client is told, and how depends on whether the policy says so (`refuse: reject`).
    #[inline(always)]
    pub const fn is_told(self, reject: bool) -> bool {
        let told = if reject { Reason::REJECTED } else { Reason::ALWAYS_TOLD };
        told >> self.reason() & 1 == 1
    }
}

impl From<Reason> for Refusal {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self::of_flow(reason, NO_SLOT)
    }
}

/// What a hook's pipeline returns.
pub type Outcome = Result<Verdict, Refusal>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_it_was_made_of() {
        let refusal = Refusal::of_flow(Reason::ClientRate, 63);
        assert_eq!((refusal.reason(), refusal.flow()), (Reason::ClientRate as u8, 63));
        assert_eq!(Refusal::from(Reason::NoFlow).flow(), NO_SLOT);
        assert!(Refusal::from(Reason::NoFlow).is_unmatched() && !refusal.is_unmatched());
        assert_eq!(Verdict::redirect(7).interface(), Some(7));
        let (to, by) = (Verdict::pass_to(7), Verdict::leave_by(0));
        assert_eq!((to.passed_to(), to.uplink(), to.interface()), (Some(7), None, None));
        assert_eq!((by.passed_to(), by.uplink(), by.interface()), (None, Some(0), None));
        for verdict in [Verdict::PASS, Verdict::PASS_GOVERNED, Verdict::PASS_FOREIGN, Verdict::ONWARD] {
            assert_eq!((verdict.interface(), verdict.passed_to(), verdict.uplink()), (None, None, None));
        }
    }
}
