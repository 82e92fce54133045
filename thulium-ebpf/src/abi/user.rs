//! What user space needs to put these types into maps.

use super::*;
use crate::{directory::Numbers, frame::ETHERNET};

/// Marks types as plain data.
macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: `repr(C)`, made of integers and arrays of them, without padding.
            unsafe impl aya::Pod for $type {}
        )*
    };
}

plain!(
    FlowKey<Address4>,
    FlowKey<Address6>,
    FlowEntry<Address4>,
    FlowEntry<Address6>,
    FlowRecord,
    Numbers,
    MappingKey<Address4>,
    Endpoint<Address4>,
    PortKey<Address4>,
    PortOwner<Address4>,
    RestingPort,
    SweepItem<Address4>,
    Unpin,
    Forget,
    EndSession,
    Sweep,
    ClientKey<Address4>,
    ClientKey<Address6>,
    Client,
    FragmentKey<Address4>,
    FragmentKey<Address6>,
    Datagram,
    ClientPrefix<Address4>,
    ClientPrefix<Address6>,
    PortPrefix,
    RemotePrefix<Address4>,
    RemotePrefix<Address6>,
    RemoteAddress,
    FlowTable,
    Settings,
    SlotName,
    Interface,
    Station,
    Uplink,
    UplinkLosses,
    Traffic,
    Choices,
    Name,
    NameEntry,
    QueryKey<Address4>,
    QueryKey<Address6>,
    Query,
    Address4,
    Address6,
    DropKey,
    Counter,
    crate::tls::Hellos,
    crate::bench::Order,
    crate::bench::Expectation,
    crate::bench::Seen,
    crate::bench::Way,
);

/// The frame by which an order reaches its program: [`Unpin`] or one of its neighbours.
pub fn order_frame<T: aya::Pod>(order: &T) -> Vec<u8> {
    // SAFETY: plain data without padding, and no longer than it lives.
    let bytes = unsafe { core::slice::from_raw_parts((&raw const *order).cast::<u8>(), size_of::<T>()) };
    [&[0; ETHERNET], bytes].concat()
}
