//! What a packet costs the gateway, beside the alternatives and the limit: `cargo xtask bench`.
//!
//! * [`sample`]: the words: who is compared, over what, and what one measurement says.
//! * [`rig`]: the gateways, the traffic through them, and the measuring.

mod rig;
mod sample;

fn main() {}
