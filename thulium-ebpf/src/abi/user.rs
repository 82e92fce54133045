//! What user space needs to put these types into maps.

use super::*;

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
    MappingKey<Address4>,
    Endpoint<Address4>,
    PortKey<Address4>,
    PortOwner<Address4>,
    RestingPort,
    SweepItem<Address4>,
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
    Uplink,
    UplinkTraffic,
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
);
