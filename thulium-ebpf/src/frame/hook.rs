//! A frame at a hook of the kernel: what the stages that need helpers ask of it.

use aya_ebpf::cty::c_void;

use super::{Edit, Frame};

/// A frame at a hook of the kernel.
pub trait Hook: Frame {
    /// The program's context, for helpers.
    fn context(&self) -> *mut c_void;

    /// Index of the interface it is at.
    fn interface(&self) -> u32;
}

/// A frame at a hook that can send it on.
pub trait Forward: Hook + Edit {
    /// True if it, or a segment of it, does not fit out of the interface.
    fn exceeds_mtu(&self, interface: u32) -> bool;
}
