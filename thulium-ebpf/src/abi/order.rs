//! What user space has done to clients and their sessions. It changes neither map by itself: datapath and user space would overwrite each
//! other's counters. An order goes to its program behind a link header of zeros, when user space runs that program
//! (`BPF_PROG_TEST_RUN`); what became of it is the program's return value, an [`OrderOutcome`] as a number.

use super::{Address4, ClientKey, FlowKey};

/// To the program `unpin`: the client is pinned to no uplink any more, and takes one anew with its next session.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpin {
    /// The client.
    pub client: ClientKey<Address4>,
    /// 1: even if it has sessions; 0: only without.
    pub even_in_use: u32,
}

/// To the program `forget`: a client without sessions and ports goes, if nothing has happened to it since it was looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget {
    /// The client.
    pub client: ClientKey<Address4>,
    /// Zero.
    pub pad: u32,
    /// [`super::Client::idle`] as it was then.
    pub idle: u64,
}

/// To the program `end_session`: a session ends, live or not.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndSession {
    /// Its LAN-side key.
    pub key: FlowKey<Address4>,
    /// [`super::FlowEntry::opened`]: a later session of that key stays.
    pub opened: u64,
}

/// To the program `sweep`: what has been in the queues for that long is looked at, in order, [`super::SWEEP_STEPS`] of each queue at
/// most. The program's return value is how many sessions and resting ports there were; 0: there is nothing more to look at.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Nanoseconds.
    pub age: u64,
}

/// What became of an order.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    /// There is no such client, or session, or not any more.
    Absent = 0,
    /// It is done.
    Done = 1,
    /// The client has sessions, or ports that rest, or had some meanwhile; nothing was changed.
    InUse = 2,
}

impl OrderOutcome {
    /// The outcome numbered `number`; numbers that are none count as `Absent`.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Done,
            2 => Self::InUse,
            _ => Self::Absent,
        }
    }
}
