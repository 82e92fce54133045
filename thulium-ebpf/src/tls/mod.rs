//! The TLS floor (T2): a flow with `tls_min` carries TLS of that version at least, or nothing.
//!
//! Four layers, each in its file, all plain values:
//!
//! * `stream`: which bytes of a segment are new? Both sides' sequence numbers ([`Hellos`], one a session).
//! * `walk`: those bytes, one by one or in leaps, in a bounded number of steps ([`Walk`]).
//! * `hello`: the records of one side, a byte at a time ([`Hello`]).
//! * `message`: the numbers of its hello, up to the version.
//!
//! The client's hello settles its side when its version can be 1.2 or more, the server's when it selects the floor or more.
//! From then on the bytes of that side pass unread; when both have settled, the session is watched no longer.
//!
//! A byte is judged where the sender's sequence numbers expect it. What lies before has been judged, what lies beyond passes,
//! since the receiver cannot take it up before the gap is filled. The receiver's acknowledgments show that nothing got
//! around us, say in a fragment: a byte that is acknowledged before it was judged ends the matter as not TLS.

mod hello;
mod message;
mod stream;
mod walk;

pub use hello::{Hello, Judgement, Phase};
pub use stream::Hellos;
pub use walk::{STEPS, Walk};

/// TLS 1.2 in a hello (RFC 5246 §7.4.1.2).
pub const V1_2: u16 = 0x0303;
/// TLS 1.3 in `supported_versions` (RFC 8446 §4.2.1).
pub const V1_3: u16 = 0x0304;

/// The version that hellos write with this minor version.
#[inline(always)]
pub const fn version(minor: u8) -> u16 {
    0x0300 | minor as u16
}

#[cfg(test)]
mod tests;
