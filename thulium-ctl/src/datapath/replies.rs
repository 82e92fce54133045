//! DNS replies about names of the policy, as the programs hand them to the daemon.

use anyhow::Context;
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use thulium_ebpf::abi::Reply;
use tokio::io::{Interest, unix::AsyncFd};

/// The map of the replies. It is not pinned: what came while no daemon was there has taught the datapath already.
const MAP: &str = "replies";

/// The replies, in the order in which clients got them.
pub struct Replies(AsyncFd<RingBuf<MapData>>);

impl Replies {
    /// The replies that the loaded programs hand over from now on. To be called in a tokio runtime, once.
    ///
    /// # Errors
    /// If the programs have no such map, or it was taken already.
    pub fn open(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let map = ebpf.take_map(MAP).with_context(|| format!("there is no map {MAP}"))?;
        let ring = RingBuf::try_from(map)?;
        // SAFETY: the ring buffer owns its descriptor, always returns that one, and closes it only when it is dropped.
        let waiting = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        Ok(Self(waiting.context("cannot wait for DNS replies")?))
    }

    /// Waits for the next reply: a DNS message (RFC 1035 §4) from its header on. It answers a query of a client to a resolver
    /// that the policy trusts, for A or AAAA of a name of the policy; its answers may be anything. Nothing is lost if this is
    /// dropped before it is ready.
    ///
    /// # Errors
    /// If the kernel no longer tells.
    pub async fn next(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            let mut ready = self.0.readable_mut().await.context("cannot wait for DNS replies")?;
            if let Some(record) = ready.get_inner_mut().next() {
                return Ok(message(&record).to_vec());
            }
            ready.clear_ready();
        }
    }
}

/// The message of a record, which is a [`Reply`] without what is behind its message.
fn message(record: &[u8]) -> &[u8] {
    let length = record.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length) as usize);
    let message = record.get(std::mem::offset_of!(Reply, message)..).unwrap_or_default();
    message.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_message() {
        let record = [&3_u32.to_ne_bytes()[..], &[0; 4], b"abc", &[9; 5]].concat();
        assert_eq!(message(&record), b"abc");
        for cut in 0..11 {
            assert_eq!(message(&record[..cut]), b"");
        }
    }
}
