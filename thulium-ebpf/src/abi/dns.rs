//! What the datapath knows of names, to learn their addresses from DNS replies (RFC 1035).

use super::Endpoint;

/// Bytes of a name in a message, with the lengths of its labels and the root's zero (RFC 1035 §2.3.4), rounded up.
pub const NAME_BYTES: usize = 256;

/// Bytes of a DNS message that the daemon is handed; longer ones teach nothing.
pub const MESSAGE_BYTES: usize = 4096;

/// A name as it stands in a message: labels in lower case, each behind its length, zero-padded. The first label of a wildcard is
/// `*`, and stands for exactly one label.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The labels.
    pub bytes: [u8; NAME_BYTES],
}

/// What a name of the policy teaches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameEntry {
    /// Slots of the hosts that have this name, a bit each.
    pub hosts: u64,
    /// Those of them that may have private, link-local and loopback addresses.
    pub private: u64,
    /// How long an address admits new sessions after its TTL, nanoseconds: the longest `keep_old` of these hosts.
    pub keep: u64,
}

/// A query that a client sent to a resolver whom the policy trusts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryKey<A> {
    /// The client's endpoint.
    pub client: Endpoint<A>,
    /// The resolver's address; its port is 53.
    pub resolver: A,
    /// The query's number, as it stands in the message.
    pub id: u16,
    /// Zero.
    pub pad: u16,
}

/// What was asked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub asked: u64,
    /// A digest of the question: name in lower case, type, class.
    pub question: u64,
}

/// A reply that answers a client's query for a name of the policy, for the daemon to read.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Bytes of the message.
    pub length: u32,
    /// Zero.
    pub pad: u32,
    /// The message, and anything behind it.
    pub message: [u8; MESSAGE_BYTES],
}
