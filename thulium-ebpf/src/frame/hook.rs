//! A frame at a hook of the kernel: what the stages that need helpers ask of it.

use aya_ebpf::cty::c_void;

use super::{Edit, Frame, Plain};

/// A frame at a hook of the kernel.
pub trait Hook: Frame {
    /// The program's context, for helpers.
    fn context(&self) -> *mut c_void;

    /// Index of the interface it is at.
    fn interface(&self) -> u32;
}

/// A frame at a hook that can send it on.
pub trait Forward: Hook + Edit {
    /// True if it, or a segment of it, does not fit out of the interface. `length` is that of the IP packet, bytes.
    fn exceeds_mtu(&self, interface: u32, length: u32) -> bool;

    /// The interface's MTU, bytes; 0 if it does not tell.
    fn mtu(&self, interface: u32) -> u32;
}

/// A copy of the `T` at `offset` behind the first of `bounds`, if it ends before the second.
///
/// # Safety
///
/// What is between the bounds (the packet's `data` and `data_end`) can be read.
#[inline(always)]
pub(super) unsafe fn read_within<T: Plain>((start, end): (usize, usize), offset: usize) -> Option<T> {
    let start = start + offset;
    if start + size_of::<T>() > end {
        return None;
    }
    // SAFETY: the caller's, and any bytes are a T.
    Some(unsafe { (start as *const T).read_unaligned() })
}
