//! What is fixed when the programs are loaded, so that the verifier removes what a policy does not use.

use aya_ebpf::Global;

/// Bit of the packet mark: judged at the LAN, the guard lets it out and takes the bit off.
#[unsafe(no_mangle)]
pub static MARK_JUDGED: Global<u32> = Global::new(0x1000_0000);

/// Bit of the packet mark: a governed client's packet that was left to the kernel; the guard judges it, whatever its source
/// address has become on the way.
#[unsafe(no_mangle)]
pub static MARK_GOVERNED: Global<u32> = Global::new(0x2000_0000);
