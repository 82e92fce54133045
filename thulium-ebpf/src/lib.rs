//! The datapath of thulium-ctl: everything pure, and the types shared with user space.
//!
//! A packet's way (see `docs/architecture.md`): [`parse`] once into a small packet, then the stages of the pipeline.
//! What needs no kernel is here and is tested on the host; `maps`, the hooks and the pipeline itself exist on the BPF
//! target only.

#![cfg_attr(target_arch = "bpf", no_std)]

pub mod abi;
