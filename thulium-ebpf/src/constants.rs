//! What is fixed when the programs are loaded, so that the verifier removes what a policy does not use.

use aya_ebpf::Global;

use crate::directory::Shape;

/// The two bits of the packet mark by which the LAN tells the guard what it knows of a packet.
#[unsafe(no_mangle)]
pub static MARK_MASK: Global<u32> = Global::new(0x3000_0000);

/// Value in the mask: translated and sent out from the LAN.
#[unsafe(no_mangle)]
pub static MARK_TRANSLATED: Global<u32> = Global::new(0x1000_0000);

/// Value in the mask: a governed client's packet that was left to the kernel; the guard judges it, whatever its source
/// address has become on the way.
#[unsafe(no_mangle)]
pub static MARK_GOVERNED: Global<u32> = Global::new(0x2000_0000);

/// Value in the mask: the kernel's to handle. Its sender is no client, or its refusal was counted and spared.
#[unsafe(no_mangle)]
pub static MARK_SETTLED: Global<u32> = Global::new(0x3000_0000);

/// Value in the mask: as `MARK_GOVERNED`, and it leaves by the uplink of slot 0, as a route of its own says; each further slot is a
/// quarter of this more. 0: there is one uplink, and no such routes.
#[unsafe(no_mangle)]
pub static MARK_UPLINK: Global<u32> = Global::new(0);

/// What the table of IPv4 sessions is made for, if the loader does not say.
pub const SHAPE: Shape = Shape::of(262_144);

/// [`Shape::capacity`] of the table of IPv4 sessions.
#[unsafe(no_mangle)]
pub static FLOWS4_CAPACITY: Global<u32> = Global::new(SHAPE.capacity);

/// [`Shape::far_lines`] of the table of IPv4 sessions.
#[unsafe(no_mangle)]
pub static FLOWS4_FAR_LINES: Global<u32> = Global::new(SHAPE.far_lines);

/// [`Shape::numbers`] of the table of IPv4 sessions.
#[unsafe(no_mangle)]
pub static FLOWS4_NUMBERS: Global<u32> = Global::new(SHAPE.numbers);
