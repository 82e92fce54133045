//! The types that the eBPF programs and user space share: keys and values of the maps.
//!
//! Every type here is `#[repr(C)]` without implicit padding, since the kernel compares and hashes keys as bytes.
//! Multi-byte fields are in host byte order unless their type says otherwise: addresses and [`Port`] hold network order.

mod counter;
mod dns;
mod flow;
mod fragment;
mod net;
mod order;
mod policy;
mod reason;
mod table;
mod tick;
#[cfg(feature = "user")]
mod user;

pub use counter::{Counter, Direction, DropKey, Family, TRAFFIC_SLOTS, Traffic, Verdict};
pub use dns::{MESSAGE_BYTES, NAME_BYTES, Name, NameEntry, Query, QueryKey, Reply};
pub use flow::{
    Client, ClientKey, Endpoint, FlowEntry, FlowKey, FlowRecord, MappingKey, PATHS, Path, PinCause, PortKey, PortOwner,
    RestingPort, Side, SweepItem, TcpState,
};
pub use fragment::{Datagram, EXTENTS, Extent, Extents, FragmentKey, NOWHERE};
pub use net::{Address, Address4, Address6, Port};
pub use order::{EndSession, Forget, OrderOutcome, Sweep, Unpin};
pub use policy::{
    ClientPrefix, FLOW_SLOTS, FlowTable, GENERATIONS, HOST_SLOTS, MSS_AUTO, MSS_OFF, NO_SLOT, PortPrefix,
    RemoteAddress, RemotePrefix, Settings, SlotName,
};
pub use reason::Reason;
pub use table::{
    CHOICES, Choices, Interface, LAN_SLOTS, RESTING_PORTS, Role, STATION_PLACES, Station, UPLINK_SLOTS, Uplink,
    UplinkLosses, UplinkState,
};
pub use tick::{REFRESH, nanoseconds, ticks, ticks_since};
#[cfg(feature = "user")]
pub use user::order_frame;

use crate::directory::{GROUP_SLOTS, GROUPS, LINE_SLOTS, NEAR_LINES, Numbers, SPARE_LINES};

/// Version of the maps' layout. It names the pin directory; raise it when a key or a value changes its meaning.
/// A change of size alone is found by [`LAYOUT`].
pub const SCHEMA: u32 = 7;

/// Sessions of each family, and resting ports, that one run of the program `sweep` looks at.
pub const SWEEP_STEPS: u32 = 64;

/// A digest of the sizes of all shared types, and of the shape of the index of sessions, so that pins of another layout are never taken for ours.
pub const LAYOUT: u32 = {
    let sizes = [
        size_of::<FlowKey<Address4>>(),
        size_of::<FlowKey<Address6>>(),
        size_of::<FlowEntry<Address4>>(),
        size_of::<FlowEntry<Address6>>(),
        size_of::<FlowRecord>(),
        size_of::<Numbers>(),
        size_of::<SweepItem<Address4>>(),
        size_of::<MappingKey<Address4>>(),
        size_of::<Endpoint<Address4>>(),
        size_of::<PortKey<Address4>>(),
        size_of::<PortOwner<Address4>>(),
        size_of::<RestingPort>(),
        size_of::<ClientKey<Address4>>(),
        size_of::<Client>(),
        size_of::<FragmentKey<Address4>>(),
        size_of::<Datagram>(),
        size_of::<ClientPrefix<Address4>>(),
        size_of::<PortPrefix>(),
        size_of::<RemotePrefix<Address4>>(),
        size_of::<RemoteAddress>(),
        size_of::<FlowTable>(),
        size_of::<Settings>(),
        size_of::<SlotName>(),
        size_of::<Interface>(),
        size_of::<Station>(),
        size_of::<Uplink>(),
        size_of::<UplinkLosses>(),
        size_of::<Traffic>(),
        size_of::<Choices>(),
        size_of::<NameEntry>(),
        size_of::<QueryKey<Address4>>(),
        size_of::<Query>(),
        size_of::<DropKey>(),
        size_of::<Counter>(),
        size_of::<crate::tls::Hellos>(),
        // The index of sessions, too, would not be understood.
        GROUPS as usize,
        GROUP_SLOTS as usize,
        NEAR_LINES as usize,
        LINE_SLOTS as usize,
        SPARE_LINES as usize,
    ];
    // FNV-1a over the sizes.
    let mut digest: u32 = 0x811c_9dc5;
    let mut index = 0;
    while index < sizes.len() {
        digest = (digest ^ sizes[index] as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    digest
};
