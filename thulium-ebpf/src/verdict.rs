//! What the pipeline decides.

use crate::abi::{NO_SLOT, Reason};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Up to the kernel, untouched, as if nothing were installed.
    Pass,
    /// Up to the kernel, untouched but for the mark: a governed client's, for the guard to judge if it is forwarded.
    PassGoverned,
    /// Left to the kernel for somebody who is not governed, or on its way out for them.
    PassForeign,
    /// Translated: out of the interface with this index.
    Redirect(u32),
    /// Translated: on, the way the kernel was taking it.
    Onward,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Slot of the flow concerned, or [`NO_SLOT`].
    pub flow: u8,
}

impl Refusal {
    /// A refusal that concerns the flow of this slot.
    pub const fn of_flow(reason: Reason, flow: u8) -> Self {
        Self { reason, flow }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, flow: NO_SLOT }
    }
}

/// What a hook's pipeline returns.
pub type Outcome = Result<Verdict, Refusal>;
