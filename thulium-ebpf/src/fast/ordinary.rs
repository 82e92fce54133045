//! What an ordinary packet is, and what is done to it.

use super::Span;
use crate::{
    abi::{Address, Endpoint, FlowKey, Side},
    translate::Part,
};

/// An address family whose ordinary packets take the short way.
pub trait Ordinary: Address {
    /// Reads the headers of a frame of this family that arrives on `side`: the key of its session, and its length in IP bytes.
    /// None if it is not ordinary: it is malformed, a fragment, has options or extension headers, its last hop, a protocol other
    /// than UDP and TCP, control bits that change the connection's state; or it is DNS, whose replies teach names.
    fn recognize(frame: Span, side: Side) -> Option<(FlowKey<Self>, u32)>;

    /// Replaces the endpoint `part` by `to`, and takes one hop off.
    ///
    /// # Safety
    ///
    /// [`Ordinary::recognize`] recognized this frame, and `key` is its key.
    unsafe fn translate(frame: Span, part: Part, key: &FlowKey<Self>, to: &Endpoint<Self>);
}
