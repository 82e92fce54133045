//! What each hook may do with a frame. It either refuses it, or leaves it as it is to the kernel, or sends it on by the ledger.

use std::net::{IpAddr, SocketAddr};

use thulium_tests::packet::random::{Talk, frame as framed, plain};

use super::{
    answer::is_answer,
    cast::{is_client, is_governed, is_of_the_link},
    error::{Teller, read_error},
    ledger::From,
    reading::{NETWORK, Place, Read, addresses, read},
    rewrite::{Change, check},
    trial::Trial,
};
use crate::{
    gateway::{Action, GOVERNED, Hook, Ran, SETTLED, TRANSLATED},
    network::HARDWARE,
    traffic::UPLINK,
};

/// What both links carry, IP bytes.
const MTU: usize = 1500;

impl Trial {
    /// Sends a frame from the LAN or the world, through XDP and TC as on a gateway; now and then past the LAN to the guard.
    pub(super) fn send(&mut self, is_out: bool, frame: &[u8]) {
        if self.chance.once_in(8) && runs_in_tc(frame) {
            let hook = self.chance.pick(&[Hook::Guard, Hook::Guard, Hook::GuardBack, Hook::GuardOwn]);
            let mark = self.chance.pick(&[0, GOVERNED, GOVERNED, SETTLED, TRANSLATED]);
            return self.leave(hook, frame, mark);
        }
        let xdp = if is_out { Hook::LanXdp } else { Hook::UplinkXdp };
        let screened = self.hand(xdp, frame, 0);
        if screened.action == Action::Redirect || screened.packet != frame[NETWORK..] {
            self.fail(xdp, frame, Some(&screened), "XDP did more than to refuse");
        }
        if !runs_in_tc(frame) {
            return;
        }
        let action = if is_out { self.take_out(frame) } else { self.take_in(frame) };
        // The kernel drops other stations' frames itself.
        if screened.action == Action::Drop && action != Action::Drop && frame[..6] == HARDWARE {
            self.fail(xdp, frame, None, "XDP refused what TC does not");
        }
    }

    fn take_out(&mut self, frame: &[u8]) -> Action {
        let ran = self.hand(Hook::Lan, frame, 0);
        match ran.action {
            _ if self.is_refused(Hook::Lan, frame, &ran) => {}
            Action::Pass => self.passed_up(frame, &ran),
            Action::Drop | Action::Redirect => self.sent_out(Hook::Lan, frame, &ran, true),
        }
        if ran.action != Action::Redirect
            && read(frame)
                .is_some_and(|read| self.ledger.out(&read, is_client).is_some_and(|talk| self.must_go_on(&read, talk)))
        {
            self.fail(Hook::Lan, frame, Some(&ran), "a packet of an open session was not sent on");
        }
        ran.action
    }

    /// True if a packet was refused; it is as it was then, or tells its client so.
    fn is_refused(&mut self, hook: Hook, frame: &[u8], ran: &Ran) -> bool {
        let is_told = is_answer(hook, frame, ran);
        if ran.action == Action::Drop && ran.packet != frame[NETWORK..] {
            self.fail(hook, frame, Some(ran), "it was refused, and changed");
        }
        if ran.action != Action::Drop && !is_told {
            return false;
        }
        let session = read(frame).and_then(|read| match hook {
            Hook::Uplink => self.ledger.inward(&read),
            _ => self.ledger.out(&read, is_governed),
        });
        if let Some(session) = session {
            self.settle(session);
        }
        true
    }

    /// A packet that the policy names was refused. Where its session ended, the ledger follows. Where it opened one before something
    /// else was found wrong with it, the next packet shows what the world sees of the client.
    fn settle(&mut self, session: Talk) {
        match (self.ledger.is_open(&session), self.has_session(&session)) {
            (true, false) => self.ledger.ended(&session),
            (false, true) => {
                self.ledger.opened(session);
                let next = plain(&mut self.chance, &session);
                self.take_out(&framed(HARDWARE, &next));
            }
            _ => {}
        }
    }

    /// A packet of the LAN that the kernel gets: as it was, a client's with its mark. The guard sees it again if it is forwarded.
    fn passed_up(&mut self, frame: &[u8], ran: &Ran) {
        if ran.packet != frame[NETWORK..] {
            self.fail(Hook::Lan, frame, Some(ran), "it was left to the kernel, and changed");
        }
        let Some((source, destination)) = addresses(frame) else { return };
        let is_neighbours = is_of_the_link(source) || is_of_the_link(destination);
        if is_governed(source) && !is_neighbours && ran.mark != GOVERNED {
            self.fail(Hook::Lan, frame, Some(ran), "a client's packet is not marked for the guard");
        }
        self.leave(Hook::Guard, frame, ran.mark);
    }

    /// A frame leaves by the uplink.
    fn leave(&mut self, hook: Hook, frame: &[u8], mark: u32) {
        let ran = self.hand(hook, frame, mark);
        let is_translated = ran.mark == TRANSLATED && mark != TRANSLATED;
        match ran.action {
            _ if self.is_refused(hook, frame, &ran) => {}
            Action::Drop | Action::Redirect => self.fail(hook, frame, Some(&ran), "the guard redirects nothing"),
            Action::Pass if hook == Hook::GuardOwn && is_translated && self.error_passed(hook, frame, &ran, false) => {}
            Action::Pass if is_translated && hook == Hook::Guard && mark != SETTLED => {
                self.sent_out(hook, frame, &ran, false);
            }
            Action::Pass => {
                if ran.packet != frame[NETWORK..] || ran.mark != mark {
                    self.fail(hook, frame, Some(&ran), "the guard let it go, and changed it");
                }
                if hook != Hook::GuardOwn && !may_leave_as_it_is(hook, frame, mark) {
                    self.fail(hook, frame, Some(&ran), "a client's packet left without translation");
                }
                if let Some(read) = read(frame).filter(|read| read.source.ip() == IpAddr::V4(UPLINK)) {
                    self.awaited.insert(talk_of(&read).reversed());
                }
            }
        }
    }

    /// A packet of the LAN goes to the world.
    fn sent_out(&mut self, hook: Hook, frame: &[u8], ran: &Ran, hop: bool) {
        if self.error_passed(hook, frame, ran, hop) {
            return;
        }
        // The kernel forwards nothing with an address of its own as the source: the guard does not look for it.
        let is_sender = if hop { is_client } else { is_governed };
        let Some((read, talk)) = read(frame).and_then(|read| Some((read, self.ledger.out(&read, is_sender)?))) else {
            self.fail(hook, frame, Some(ran), "the policy does not name it");
        };
        if hop && (ran.mark != TRANSLATED || needs_kernel(&read)) {
            self.fail(hook, frame, Some(ran), "a wrong mark, the last hop, or too large");
        }
        let after = [&frame[..NETWORK], &ran.packet].concat();
        let outside = source_of(&after, &read);
        let right = self.ledger.left(&read, talk, outside);
        let right = right.and_then(|()| check(frame, &after, &read, Change { source: true, to: outside, hop }));
        if let Err(what) = right {
            self.fail(hook, frame, Some(ran), &what);
        }
        self.redirected += usize::from(hop);
    }

    fn take_in(&mut self, frame: &[u8]) -> Action {
        let ran = self.hand(Hook::Uplink, frame, 0);
        let read = read(frame);
        let session = read.as_ref().and_then(|read| self.ledger.inward(read));
        let is_changed = ran.packet != frame[NETWORK..];
        match (ran.action, &read, session) {
            _ if self.is_refused(Hook::Uplink, frame, &ran) => {}
            (Action::Redirect, None, _) if self.error_passed(Hook::Uplink, frame, &ran, true) => {}
            // IPv6 is not translated: one that the kernel has to see stays as it is.
            (Action::Pass, None, _) if self.error_passed(Hook::Uplink, frame, &ran, false) => {}
            (Action::Redirect, Some(read), Some(session)) if !needs_kernel(read) => {
                self.delivered(frame, &ran, read, session.source, true);
            }
            // What the kernel has to see is translated; later fragments go the way of their first one. A later one of IPv4 that
            // follows nothing is for the gateway, by its address.
            (Action::Pass, Some(read), Some(session))
                if (is_changed || read.source.is_ipv6()) && (needs_kernel(read) || read.place == Place::Later) =>
            {
                self.delivered(frame, &ran, read, session.source, false);
            }
            (Action::Pass, ..) if !is_changed => self.not_ours(frame, &ran, read.as_ref()),
            _ => self.fail(Hook::Uplink, frame, Some(&ran), "it belongs to no session"),
        }
        if let (Some(read), Some(session)) = (&read, session)
            && ran.action != Action::Redirect
            && self.must_go_on(read, session)
        {
            self.fail(Hook::Uplink, frame, Some(&ran), "a packet of an open session was not sent on");
        }
        ran.action
    }

    /// True if the packet is an ICMP error of an open session; then it is as it should be.
    fn error_passed(&mut self, hook: Hook, frame: &[u8], ran: &Ran, hop: bool) -> bool {
        let teller = match hook {
            Hook::Uplink => Teller::World,
            Hook::GuardOwn => Teller::Gateway,
            _ => Teller::Lan,
        };
        let Some(error) = read_error(frame).filter(|error| !hop || !needs_kernel(&error.read)) else { return false };
        let Some(session) = error.session(&self.ledger, teller) else { return false };
        let outside = self.ledger.outside(session.source, session.protocol);
        let to = if teller == Teller::World { Some(session.source) } else { outside };
        let after = [&frame[..NETWORK], &ran.packet].concat();
        if !hop && ran.action == Action::Pass && ran.packet == frame[NETWORK..] && frame[NETWORK] >> 4 == 4 {
            return false;
        }
        let right = to.is_some_and(|to| match error.check(frame, &after, teller, to, hop) {
            Ok(()) => true,
            Err(what) => self.fail(hook, frame, Some(ran), &what),
        });
        self.errors += usize::from(right);
        right
    }

    /// A packet of the world goes to a client.
    fn delivered(&mut self, frame: &[u8], ran: &Ran, read: &Read, client: SocketAddr, hop: bool) {
        let after = [&frame[..NETWORK], &ran.packet].concat();
        if let Err(what) = check(frame, &after, read, Change { source: false, to: client, hop }) {
            self.fail(Hook::Uplink, frame, Some(ran), &what);
        }
        self.ledger.passed(From::World, read, &talk_of(read));
        self.redirected += usize::from(hop);
    }

    /// A packet of the world that the kernel gets as it is: it is neither for a client nor for a client's port.
    fn not_ours(&self, frame: &[u8], ran: &Ran, read: Option<&Read>) {
        let Some((source, destination)) = addresses(frame) else { return };
        if is_client(destination) && !is_of_the_link(source) {
            self.fail(Hook::Uplink, frame, Some(ran), "it is for a client, and was not refused");
        }
        let Some(read) = read.filter(|read| read.source.is_ipv4() && read.place != Place::Later) else { return };
        let is_claimed = self.ledger.owner(read.destination, read.protocol).is_some();
        if is_claimed && !self.awaited.contains(&talk_of(read)) && !is_of_the_link(source) {
            self.fail(Hook::Uplink, frame, Some(ran), "it is for a client's port, and was not refused");
        }
    }

    /// True for a packet that has no reason to be held back: of an open session, without anything special.
    fn must_go_on(&self, read: &Read, session: Talk) -> bool {
        let is_plain = read.protocol == 17 && read.place == Place::Whole && read.is_plain;
        is_plain && !needs_kernel(read) && self.ledger.is_open(&session)
    }
}

/// False for frames that the kernel (6.18) does not hand to a TC program in a trial: their IP header is cut. XDP gets them.
fn runs_in_tc(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => frame.len() >= NETWORK + 20,
        [0x86, 0xdd] => frame.len() >= NETWORK + 40,
        _ => true,
    }
}

/// True for a packet that the kernel has to answer: it has no hop left, or does not fit.
fn needs_kernel(read: &Read) -> bool {
    read.hops <= 1 || read.end - NETWORK > MTU
}

/// True if a packet may leave by the uplink with the source that it has.
fn may_leave_as_it_is(hook: Hook, frame: &[u8], mark: u32) -> bool {
    let Some((source, _)) = addresses(frame) else { return true };
    let hides_a_client = mark == GOVERNED || (hook == Hook::Guard && source == IpAddr::V4(UPLINK));
    matches!(mark, TRANSLATED | SETTLED) || (!is_governed(source) && !hides_a_client)
}

/// The source of a frame that was read before it was rewritten.
fn source_of(frame: &[u8], read: &Read) -> SocketAddr {
    let source = addresses(frame).map_or(read.source.ip(), |(source, _)| source);
    let port = match read.place {
        Place::Later => 0,
        _ => u16::from_be_bytes([frame[read.transport], frame[read.transport + 1]]),
    };
    SocketAddr::new(source, port)
}

fn talk_of(read: &Read) -> Talk {
    Talk { source: read.source, destination: read.destination, protocol: read.protocol }
}
