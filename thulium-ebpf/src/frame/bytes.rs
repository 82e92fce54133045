//! A frame in memory: host tests run the pure stages on it.

use core::slice;

use super::{ETHER_TYPE, ETHERNET, Edit, Frame, Plain, TransportChecksum};
use crate::{abi::Address4, checksum};

/// A frame in memory, with finished checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn word(&self, offset: usize) -> Option<u16> {
        self.read(offset)
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) -> Option<()> {
        self.0.get_mut(offset..offset + bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    fn update(&mut self, at: TransportChecksum, change: impl Fn(u16) -> u16) -> Option<()> {
        let sum = self.word(at.offset)?;
        if at.optional && sum == 0 {
            return Some(());
        }
        let sum = if at.optional { checksum::udp_never_zero(change(sum)) } else { change(sum) };
        self.put(at.offset, &sum.to_ne_bytes())
    }
}

impl Frame for Bytes {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn network(&self) -> usize {
        ETHERNET
    }

    fn ether_type(&self) -> u16 {
        self.read(ETHER_TYPE).map_or(0, u16::from_be)
    }

    fn is_for_us(&self) -> bool {
        true
    }

    fn segments(&self) -> u32 {
        1
    }

    fn byte(&self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    fn read<T: Plain>(&self, offset: usize) -> Option<T> {
        let bytes = self.0.get(offset..offset.checked_add(size_of::<T>())?)?;
        // SAFETY: `bytes` is as long as a T, and any bytes are a T.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }
}

impl Edit for Bytes {
    fn replace_address(
        &mut self,
        offset: usize,
        header_sum: usize,
        transport: Option<TransportChecksum>,
        old: Address4,
        new: Address4,
    ) -> Option<()> {
        let change = |sum| checksum::replace32(sum, old.be32(), new.be32());
        self.update(TransportChecksum { offset: header_sum, optional: false }, change)?;
        if let Some(transport) = transport {
            self.update(transport, change)?;
        }
        self.put(offset, &new.octets())
    }

    fn replace_word(&mut self, offset: usize, transport: TransportChecksum, old: u16, new: u16) -> Option<()> {
        self.update(transport, |sum| checksum::replace16(sum, old, new))?;
        self.put(offset, &new.to_ne_bytes())
    }

    fn is_intact(&self, offset: usize, length: usize) -> bool {
        let Some(bytes) = self.0.get(offset..offset + length) else { return false };
        let word = |pair: &[u8]| u32::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        length <= 4096 && checksum::fold(bytes.chunks(2).map(word).sum()) == 0xffff
    }

    fn replace_header_word(&mut self, offset: usize, header_sum: usize, old: u16, new: u16) -> Option<()> {
        let sum = TransportChecksum { offset: header_sum, optional: false };
        self.update(sum, |sum| checksum::replace16(sum, old, new))?;
        self.put(offset, &new.to_ne_bytes())
    }

    fn resize(&mut self, length: usize) -> Option<()> {
        self.0.resize(length, 0);
        Some(())
    }

    fn write<T: Plain>(&mut self, offset: usize, value: T) -> Option<()> {
        // SAFETY: a T lives there, and is plain bytes.
        let bytes = unsafe { slice::from_raw_parts((&raw const value).cast::<u8>(), size_of::<T>()) };
        self.put(offset, bytes)
    }

    fn replace_byte(&mut self, offset: usize, new: u8) -> Option<()> {
        self.put(offset, &[new])
    }
}
