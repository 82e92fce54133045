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
    FlowEntry<Address4>,
    MappingKey<Address4>,
    Endpoint<Address4>,
    PortKey<Address4>,
    PortOwner<Address4>,
    ClientKey<Address4>,
    Client,
    ClientPrefix<Address4>,
    PortPrefix,
    RemotePrefix<Address4>,
    RemoteAddress,
    FlowTable,
    Settings,
    SlotName,
    Interface,
    Uplink<Address4>,
    DropKey,
    Counter,
);
