//! The handshake message with a side's hello, a number at a time (RFC 8446 §4.1, RFC 5246 §7.4.1).

use super::{
    V1_2,
    hello::{Hello, Judgement, MAJOR},
};
use crate::abi::Side;

/// Handshake type of a client's hello (RFC 8446 §4).
const CLIENT_HELLO: u32 = 1;
/// Handshake type of a server's.
const SERVER_HELLO: u32 = 2;
/// Bytes of `random`.
const RANDOM: u32 = 32;
/// Bytes of the longest session id.
const LONGEST_SESSION_ID: u32 = 32;
/// Bytes of the cipher suite and the compression method.
const CIPHER_AND_COMPRESSION: u32 = 3;
/// Number of the extension that holds a server's version above 1.2 (RFC 8446 §4.2.1).
const SUPPORTED_VERSIONS: u32 = 43;

/// The number that is read next.
#[repr(u8)]
#[derive(Clone, Copy)]
pub(super) enum Field {
    MessageType = 0,
    MessageLength = 1,
    Version = 2,
    SessionIdLength = 3,
    ExtensionsLength = 4,
    ExtensionType = 5,
    /// Of an extension that does not matter.
    ExtensionLength = 6,
    /// Of `supported_versions`.
    VersionsLength = 7,
    SelectedVersion = 8,
    Alert = 9,
}

impl Field {
    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::MessageType,
            1 => Self::MessageLength,
            2 => Self::Version,
            3 => Self::SessionIdLength,
            4 => Self::ExtensionsLength,
            5 => Self::ExtensionType,
            6 => Self::ExtensionLength,
            7 => Self::VersionsLength,
            8 => Self::SelectedVersion,
            _ => Self::Alert,
        }
    }
}

impl Hello {
    /// Takes a number in that was read whole.
    #[inline(always)]
    pub(super) const fn take(&mut self, number: u32, sender: Side, floor: u16) -> Judgement {
        let is_client = matches!(sender, Side::Lan);
        match Field::from_number(self.field) {
            Field::Alert => self.enter(Field::MessageType, 1),
            Field::MessageType => {
                let expected = if is_client { CLIENT_HELLO } else { SERVER_HELLO };
                if number != expected {
                    return Judgement::NotTls;
                }
                self.enter(Field::MessageLength, 3)
            }
            Field::MessageLength => {
                self.message = number;
                self.seek(0, Field::Version, 2)
            }
            Field::Version if is_client => at_least(number, V1_2, Judgement::TooOld),
            Field::Version if number < V1_2 as u32 || number >= floor as u32 => {
                at_least(number, floor, Judgement::Downgraded)
            }
            Field::Version => self.seek(RANDOM, Field::SessionIdLength, 1),
            Field::SessionIdLength if number > LONGEST_SESSION_ID => Judgement::NotTls,
            // Without `supported_versions` the version is 1.2.
            Field::SessionIdLength if self.message == number + CIPHER_AND_COMPRESSION => Judgement::Downgraded,
            Field::SessionIdLength => self.seek(number + CIPHER_AND_COMPRESSION, Field::ExtensionsLength, 2),
            Field::ExtensionsLength if number != self.message => Judgement::NotTls,
            Field::ExtensionsLength if number == 0 => Judgement::Downgraded,
            Field::ExtensionsLength => self.seek(0, Field::ExtensionType, 2),
            Field::ExtensionType if number == SUPPORTED_VERSIONS => self.seek(0, Field::VersionsLength, 2),
            Field::ExtensionType => self.seek(0, Field::ExtensionLength, 2),
            Field::ExtensionLength if number == self.message => Judgement::Downgraded,
            Field::ExtensionLength => self.seek(number, Field::ExtensionType, 2),
            Field::VersionsLength if number != 2 => Judgement::NotTls,
            Field::VersionsLength => self.seek(0, Field::SelectedVersion, 2),
            Field::SelectedVersion => at_least(number, floor, Judgement::Downgraded),
        }
    }

    /// The next number is a `field` of so many bytes, in the message behind `skip` bytes that do not matter.
    #[inline(always)]
    const fn seek(&mut self, skip: u32, field: Field, bytes: u8) -> Judgement {
        let needed = skip + bytes as u32;
        if needed > self.message {
            return Judgement::NotTls;
        }
        self.message -= needed;
        self.skip = skip;
        self.enter(field, bytes)
    }

    #[inline(always)]
    pub(super) const fn enter(&mut self, field: Field, bytes: u8) -> Judgement {
        self.field = field as u8;
        self.left = bytes;
        Judgement::Undecided
    }
}

#[inline(always)]
const fn at_least(version: u32, floor: u16, otherwise: Judgement) -> Judgement {
    if version >> 8 != MAJOR as u32 {
        Judgement::NotTls
    } else if version >= floor as u32 {
        Judgement::Settled
    } else {
        otherwise
    }
}
