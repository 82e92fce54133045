//! One side's hello: TLS records (RFC 8446 §5.1), and the numbers in what they carry, a byte at a time.

use super::message::Field;
use crate::abi::Side;

/// What the bytes so far say.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Not enough yet.
    Undecided,
    /// TLS of the floor or above.
    Settled,
    /// No hello of TLS.
    NotTls,
    /// The client can do no TLS 1.2.
    TooOld,
    /// The server selects a version below the floor.
    Downgraded,
}

/// Record types (RFC 8446 §5.1).
mod record {
    pub(super) const ALERT: u8 = 21;
    pub(super) const HANDSHAKE: u8 = 22;
    /// Bytes of a record's header.
    pub(super) const HEADER: u8 = 5;
    /// Bytes of the longest plaintext record.
    pub(super) const LONGEST: u16 = 1 << 14;
    /// Bytes of an alert, which is a record by itself.
    pub(super) const ALERT_LENGTH: u16 = 2;
}

/// The major version of all that are TLS, in records and hellos alike.
pub(super) const MAJOR: u8 = 3;

/// What is known of a side.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its SYN has not been seen: where its bytes begin is unknown.
    Closed = 0,
    /// Its hello is awaited.
    Open = 1,
    /// Its hello was good.
    Settled = 2,
}

/// How far one side's hello has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Sequence number of the first byte.
    pub first: u32,
    /// Sequence number of the byte that is judged next.
    pub next: u32,
    /// The number that is being read, as far as it was read.
    pub(super) number: u32,
    /// Bytes of the message behind that number.
    pub(super) message: u32,
    /// Bytes of the message before that number, to be passed over.
    pub(super) skip: u32,
    /// Bytes left of the record.
    record: u16,
    /// Bytes left to read of the record's header.
    header: u8,
    /// A [`Field`] as a number.
    pub(super) field: u8,
    /// Bytes left to read of that field.
    pub(super) left: u8,
    /// A [`Phase`] as a number.
    phase: u8,
    /// Zero.
    pad: u16,
}

impl Hello {
    /// A side whose SYN has not been seen.
    pub const CLOSED: Self = Self {
        first: 0,
        next: 0,
        number: 0,
        message: 0,
        skip: 0,
        record: 0,
        header: record::HEADER,
        field: Field::MessageType as u8,
        left: 1,
        phase: Phase::Closed as u8,
        pad: 0,
    };

    /// A side whose first byte will have the sequence number `first`.
    pub const fn open(first: u32) -> Self {
        Self { first, next: first, phase: Phase::Open as u8, ..Self::CLOSED }
    }

    /// True in this phase.
    #[inline(always)]
    pub const fn is(&self, phase: Phase) -> bool {
        self.phase == phase as u8
    }

    /// True while none of its bytes was judged.
    #[inline(always)]
    pub const fn is_untouched(&self) -> bool {
        self.next == self.first && !self.is(Phase::Settled)
    }

    /// From now on its bytes pass unread.
    #[inline(always)]
    pub const fn settle(&mut self) {
        self.phase = Phase::Settled as u8;
    }

    /// Passes over up to `available` bytes that do not matter; returns how many.
    #[inline(always)]
    pub const fn leap(&mut self, available: u32) -> u32 {
        if self.header > 0 {
            return 0;
        }
        let bytes = least(least(self.skip, self.record as u32), available);
        self.skip -= bytes;
        self.consume(bytes as u16);
        bytes
    }

    /// Takes the next byte in, where none is to be passed over.
    #[inline(always)]
    pub const fn step(&mut self, byte: u8, sender: Side, floor: u16) -> Judgement {
        if self.header > 0 {
            return self.header_byte(byte, sender);
        }
        self.consume(1);
        self.number = self.number << 8 | byte as u32;
        self.left -= 1;
        if self.left > 0 {
            return Judgement::Undecided;
        }
        let number = self.number;
        self.number = 0;
        self.take(number, sender, floor)
    }

    /// Takes bytes off the record; behind its last one comes the header of another.
    #[inline(always)]
    const fn consume(&mut self, bytes: u16) {
        self.record -= bytes;
        if self.record == 0 {
            self.header = record::HEADER;
        }
    }

    #[inline(always)]
    const fn header_byte(&mut self, byte: u8, sender: Side) -> Judgement {
        let is_good = match self.header {
            5 => byte == record::HANDSHAKE || (byte == record::ALERT && self.expect_alert(sender)),
            4 => byte == MAJOR,
            // The minor version says nothing (RFC 8446 §5.1).
            3 => true,
            2 => {
                self.record = (byte as u16) << 8;
                true
            }
            _ => {
                self.record |= byte as u16;
                self.is_record_good()
            }
        };
        self.header -= 1;
        if is_good { Judgement::Undecided } else { Judgement::NotTls }
    }

    /// An alert of the server before its hello is a warning, behind which the hello follows, or the end of the connection.
    #[inline(always)]
    const fn expect_alert(&mut self, sender: Side) -> bool {
        let is_between_messages = self.field == Field::MessageType as u8;
        self.enter(Field::Alert, record::ALERT_LENGTH as u8);
        is_between_messages && matches!(sender, Side::Uplink)
    }

    /// Empty records are forbidden here, and an alert has one of its own.
    #[inline(always)]
    const fn is_record_good(&self) -> bool {
        if self.field == Field::Alert as u8 {
            return self.record == record::ALERT_LENGTH;
        }
        self.record > 0 && self.record <= record::LONGEST
    }
}

#[inline(always)]
const fn least(one: u32, other: u32) -> u32 {
    if one < other { one } else { other }
}
