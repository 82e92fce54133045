//! The datapath of thulium-ctl: everything pure, and the types shared with user space.
//!
//! A packet's way (drawn in `docs/architecture.md`), and the module of each step:
//!
//! * [`frame`]: what a hook hands us — the one trait through which the pipeline reads and edits a packet.
//! * [`parse`]: once, into a small [`parse::Packet`].
//! * [`fragment`]: later fragments have no ports; they follow the first.
//! * [`session`]: a live session? How long does it live, what is its TCP state, may the client open another one?
//!   Those of IPv4 are looked up in a [`directory`].
//! * [`judge`]: which flow of the policy names the packet?
//! * [`ports`]: which external port does a new session get?
//! * [`tls`]: do the first bytes of a flow with a TLS floor keep to it?
//! * [`translate`]: the rewrite.
//! * [`mss`]: a TCP segment size that the path can carry.
//! * [`dns`]: what replies to clients teach of the policy's names; beside the pipeline, in programs of their own.
//! * [`fast`]: the short way of an ordinary packet whose session is established, past all these.
//! * [`answer`]: what becomes of a refused packet whose sender is told.
//! * `route`: where to (BPF only).
//! * `uplinks`: which uplink is which, and what it can do at present (BPF only).
//! * [`verdict`]: what the pipeline decided; `count` is its one way into the counters.
//! * `moment`: the time and the generation that a packet sees (BPF only).
//! * `pipeline`: these steps in order, one function a hook (BPF only); `maps`: all state (BPF only).
//!
//! No step of it: [`bench`](mod@bench), the traffic that `cargo xtask bench` sends through.
//!
//! What takes values is compiled everywhere and tested on the host; what needs maps and helpers exists on the BPF target.

#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics, asm_experimental_arch), allow(internal_features))]

pub mod abi;
pub mod answer;
pub mod bench;
#[cfg(not(target_arch = "bpf"))]
pub mod capacity;
pub mod checksum;
pub mod directory;
pub mod dns;
pub mod fast;
pub mod fragment;
pub mod frame;
pub mod judge;
pub mod mss;
pub mod parse;
pub mod ports;
pub mod session;
pub mod tls;
pub mod translate;
pub mod verdict;

#[cfg(target_arch = "bpf")]
pub mod atomic;
#[cfg(target_arch = "bpf")]
pub mod constants;
#[cfg(target_arch = "bpf")]
pub mod lans;
#[cfg(target_arch = "bpf")]
pub mod maps;
#[cfg(target_arch = "bpf")]
pub mod moment;
#[cfg(target_arch = "bpf")]
pub mod pipeline;
#[cfg(target_arch = "bpf")]
pub mod route;
#[cfg(target_arch = "bpf")]
pub mod uplinks;
