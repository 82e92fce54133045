//! Messages of generic netlink, by which younger parts of the kernel are spoken to.

use rtnetlink::packet_core::{
    DecodeError, NLA_HEADER_SIZE, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator,
};

/// A message of generic netlink (`struct genlmsghdr`, and attributes).
#[derive(Clone, Debug)]
pub(super) struct Generic {
    /// Which family, by the number that the kernel has given it.
    pub(super) family: u16,
    /// What of it.
    pub(super) command: u8,
    /// One behind the other (`struct nlattr`).
    pub(super) attributes: Vec<u8>,
}

impl Generic {
    /// The value of the first attribute of a kind.
    pub(super) fn attribute(&self, kind: u16) -> Option<&[u8]> {
        attribute(&self.attributes, kind)
    }
}

/// The value of the first of these attributes that is of a kind.
pub(super) fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let found = NlasIterator::new(attributes).flatten().find(|one| one.kind() == kind)?;
    let end = usize::from(found.length());
    found.into_inner().get(NLA_HEADER_SIZE..end)
}

/// Command, version, and two reserved bytes.
const HEADER: usize = 4;

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        HEADER + self.attributes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        const VERSION: u8 = 1;
        buffer[..HEADER].copy_from_slice(&[self.command, VERSION, 0, 0]);
        buffer[HEADER..].copy_from_slice(&self.attributes);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let Some((command, attributes)) = payload.first().zip(payload.get(HEADER..)) else {
            return Err(DecodeError::from("a message of generic netlink without its header"));
        };
        Ok(Self { family: header.message_type, command: *command, attributes: attributes.to_vec() })
    }
}
