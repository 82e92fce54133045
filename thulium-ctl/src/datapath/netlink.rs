//! Asking the kernel for what it has, and changing it. It answers at once, so that nobody needs a runtime to wait for it.

use std::io;

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
        NetlinkPayload, NetlinkSerializable,
    },
    sys::{Socket, SocketAddr},
};

/// How often a list is asked for anew that changed while the kernel told it.
const TRIES: usize = 8;
/// Bytes that a message begins at a multiple of (`NLMSG_ALIGNTO`).
const ALIGNMENT: usize = 4;

/// What a part of the kernel is asked, and answers.
pub(super) trait Message: NetlinkSerializable + NetlinkDeserializable + Clone {}

impl<M: NetlinkSerializable + NetlinkDeserializable + Clone> Message for M {}

/// A socket to a part of the kernel.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// How the kernel answered.
struct Answer<M> {
    messages: Vec<M>,
    /// False if what was listed changed meanwhile.
    is_whole: bool,
}

impl Netlink {
    /// Opens one in the network namespace of this thread; `protocol`: to which part, of `rtnetlink::sys::protocols`.
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // So that the kernel lists the table that is asked for, not all of them.
        socket.set_netlink_get_strict_chk(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// What the kernel lists of a kind.
    pub(super) fn list<M: Message>(&mut self, query: M) -> io::Result<Vec<M>> {
        for _ in 0..TRIES {
            let answer = self.exchange(query.clone(), NLM_F_DUMP)?;
            if answer.is_whole {
                return Ok(answer.messages);
            }
        }
        Err(io::Error::other("the kernel's list changes all the time"))
    }

    /// Changes something; `flags` beside those that every request has.
    pub(super) fn change<M: Message>(&mut self, request: M, flags: u16) -> io::Result<()> {
        self.exchange(request, NLM_F_ACK | flags).map(drop)
    }

    /// What the kernel answers to a question about one thing.
    pub(super) fn ask<M: Message>(&mut self, query: M) -> io::Result<Vec<M>> {
        Ok(self.exchange(query, NLM_F_ACK)?.messages)
    }

    /// Sends a request and reads until the kernel has said how it ended.
    fn exchange<M: Message>(&mut self, message: M, flags: u16) -> io::Result<Answer<M>> {
        self.sequence += 1;
        let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut answer = Answer { messages: Vec::new(), is_whole: true };
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let part = NetlinkMessage::<M>::deserialize(rest).map_err(io::Error::other)?;
                let length = (part.header.length as usize).next_multiple_of(ALIGNMENT);
                rest = rest.get(length..).unwrap_or_default();
                if part.header.sequence_number != self.sequence {
                    continue;
                }
                answer.is_whole &= part.header.flags & NLM_F_DUMP_INTR == 0;
                match part.payload {
                    NetlinkPayload::InnerMessage(message) => answer.messages.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Done(done) if done.code != 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answer),
                    _ => {}
                }
            }
        }
    }
}
