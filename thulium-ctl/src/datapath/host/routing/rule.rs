//! Rules: which table a packet of a client is looked up in.

use std::io;

use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{RouteHeader, RouteProtocol},
        rule::{RuleAction, RuleAttribute, RuleMessage},
    },
};
use thulium_ebpf::abi::UPLINK_SLOTS;

use super::{PROTOCOL, table_of};
use crate::datapath::{marks::Marks, netlink::Netlink};

/// Priority of the first rule of slot 0: behind what an admin usually adds, before the kernel's main table (32766).
pub(crate) const FIRST_PRIORITY: u32 = 32_000;
/// Of the rule that leads to the kernel's main table, in every network namespace.
pub(crate) const MAIN_PRIORITY: u32 = 32_766;
/// Rules of a slot.
const RULES: u32 = 2;
/// One behind the last rule of the last slot.
pub(crate) const END_PRIORITY: u32 = FIRST_PRIORITY + RULES * UPLINK_SLOTS as u32;

/// Behind the last rule of the kernel (32767): for destinations to which nobody else knows a way.
pub(crate) const LAST_PRIORITY: u32 = 32_800;

/// A rule of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    priority: u32,
    packets: Packets,
    table: u32,
    /// True if a default route that is found does not count.
    suppresses_default: bool,
}

/// Which packets a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Packets {
    /// Those with this mark in this mask.
    Marked { mark: u32, mask: u32 },
    /// Those that came in by this interface.
    From(String),
}

/// The way out of last resort: without any default route in the main table, as when the uplink that had the only one is gone, the
/// datapath would not know that a destination is beyond an uplink.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastResort<'a> {
    /// The interfaces of the LAN.
    pub(super) lan: &'a [String],
    /// Slot of the uplink whose table is asked; `None`: none has a way out.
    pub(super) slot: Option<u32>,
}

impl LastResort<'_> {
    fn rules(&self) -> Vec<Rule> {
        let Some(slot) = self.slot else { return Vec::new() };
        let rule = |interface: &String| Rule {
            priority: LAST_PRIORITY,
            packets: Packets::From(interface.clone()),
            table: table_of(slot),
            suppresses_default: false,
        };
        self.lan.iter().map(rule).collect()
    }
}

/// Those that send packets for the uplink of `slot` by its table, unless the main table knows a better route than a default one.
fn rules_of(slot: u32, marks: &Marks) -> Vec<Rule> {
    let Some(mark) = marks.of_slot(slot) else { return Vec::new() };
    let priority = FIRST_PRIORITY + RULES * slot;
    let main = u32::from(RouteHeader::RT_TABLE_MAIN);
    let packets = Packets::Marked { mark, mask: marks.mask };
    let rule = Rule { priority, packets, table: main, suppresses_default: true };
    vec![rule.clone(), Rule { priority: priority + 1, table: table_of(slot), suppresses_default: false, ..rule }]
}

/// Sets the rules of these slots, and removes all others of ours. True if that changed anything.
pub(super) fn set(
    kernel: &mut Netlink,
    family: AddressFamily,
    marks: &Marks,
    slots: &[u32],
    last_resort: LastResort<'_>,
) -> io::Result<bool> {
    let of_slots = slots.iter().flat_map(|slot| rules_of(*slot, marks));
    let wanted: Vec<Rule> = of_slots.chain(last_resort.rules()).collect();
    let present = ours(kernel, family)?;
    let is_there = |rule: &Rule| present.iter().any(|message| Rule::read(message).as_ref() == Some(rule));
    let missing: Vec<&Rule> = wanted.iter().filter(|rule| !is_there(rule)).collect();
    let is_wanted = |message: &RuleMessage| Rule::read(message).is_some_and(|rule| wanted.contains(&rule));
    let stale: Vec<&RuleMessage> = present.iter().filter(|message| !is_wanted(message)).collect();
    for rule in &missing {
        match kernel.change(RouteNetlinkMessage::NewRule(rule.message(family)), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if Errno::from_raw(error.raw_os_error().unwrap_or_default()) != Errno::EEXIST => {
                return Err(error);
            }
            _ => {}
        }
    }
    for message in &stale {
        kernel.change(RouteNetlinkMessage::DelRule((*message).clone()), 0)?;
    }
    Ok(!missing.is_empty() || !stale.is_empty())
}

/// The kernel's rules that are ours: by protocol and priority. An admin's rule may have the same priority.
pub(super) fn ours(kernel: &mut Netlink, family: AddressFamily) -> io::Result<Vec<RuleMessage>> {
    let mut query = RuleMessage::default();
    query.header.family = family;
    let listed = kernel.list(RouteNetlinkMessage::GetRule(query))?.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewRule(rule) => Some(rule),
        _ => None,
    });
    Ok(listed.filter(is_ours).collect())
}

fn is_ours(message: &RuleMessage) -> bool {
    let is_of_protocol = message.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
    is_of_protocol
        && message.attributes.iter().any(|attribute| {
            matches!(attribute, RuleAttribute::Priority(priority)
                if (FIRST_PRIORITY..END_PRIORITY).contains(priority) || *priority == LAST_PRIORITY)
        })
}

impl Rule {
    fn message(&self, family: AddressFamily) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = family;
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Priority(self.priority),
            RuleAttribute::Table(self.table),
            RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
        ];
        match &self.packets {
            Packets::Marked { mark, mask } => {
                message.attributes.extend([RuleAttribute::FwMark(*mark), RuleAttribute::FwMask(*mask)]);
            }
            Packets::From(interface) => message.attributes.push(RuleAttribute::Iifname(interface.clone())),
        }
        if self.suppresses_default {
            message.attributes.push(RuleAttribute::SuppressPrefixLen(0));
        }
        message
    }

    /// `None`: it is of another kind, so none that this version sets.
    fn read(message: &RuleMessage) -> Option<Self> {
        let header = &message.header;
        if header.action != RuleAction::ToTable || header.src_len != 0 || header.dst_len != 0 {
            return None;
        }
        let (mut mark, mut mask, mut from) = (0, 0, None);
        let packets = Packets::Marked { mark, mask };
        let mut rule = Self { priority: 0, packets, table: u32::from(header.table), suppresses_default: false };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(priority) => rule.priority = *priority,
                RuleAttribute::FwMark(value) => mark = *value,
                RuleAttribute::FwMask(value) => mask = *value,
                RuleAttribute::Iifname(interface) => from = Some(interface.clone()),
                RuleAttribute::Table(table) => rule.table = *table,
                RuleAttribute::SuppressPrefixLen(length) => rule.suppresses_default = *length == 0,
                RuleAttribute::Protocol(_) => {}
                // The kernel tells "none" as all ones.
                RuleAttribute::SuppressIfGroup(u32::MAX) => {}
                _ => return None,
            }
        }
        rule.packets = match (from, mark | mask) {
            (None, _) => Packets::Marked { mark, mask },
            (Some(interface), 0) => Packets::From(interface),
            (Some(_), _) => return None,
        };
        Some(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_rule_for_better_routes_and_one_for_its_table() {
        let marks = Marks::of(0xf000_0000, 2);
        let [first, second] = rules_of(1, &marks).try_into().unwrap();
        assert_eq!(first.priority, 32_002);
        assert_eq!(first.packets, Packets::Marked { mark: 0x5000_0000, mask: 0xf000_0000 });
        assert_eq!((first.table, first.suppresses_default), (254, true));
        assert_eq!((second.priority, second.table, second.suppresses_default), (32_003, 7401, false));
        assert!(rules_of(0, &Marks::of(0x3000_0000, 1)).is_empty());
    }

    #[test]
    fn what_is_told_to_the_kernel_is_read_again() {
        let lan = ["lan0".to_owned(), "lan1".to_owned()];
        let last_resort = LastResort { lan: &lan, slot: Some(1) }.rules();
        assert_eq!(last_resort.len(), 2);
        for rule in rules_of(7, &Marks::of(0xf0, 8)).into_iter().chain(last_resort) {
            let message = rule.message(AddressFamily::Inet6);
            assert_eq!(Rule::read(&message), Some(rule));
            assert!(is_ours(&message));
        }
    }

    #[test]
    fn a_rule_of_an_admin_is_not_ours() {
        let mut message = rules_of(0, &Marks::of(0xf0, 2))[0].message(AddressFamily::Inet);
        let with = |message: &mut RuleMessage, priority, protocol| {
            message.attributes = vec![RuleAttribute::Priority(priority), RuleAttribute::Protocol(protocol)];
        };
        with(&mut message, 32_000, RouteProtocol::Boot);
        assert!(!is_ours(&message), "another protocol");
        with(&mut message, 31_999, RouteProtocol::Other(PROTOCOL));
        assert!(!is_ours(&message), "another priority");
        message.attributes.push(RuleAttribute::Oifname("wan0".to_owned()));
        assert_eq!(Rule::read(&message), None, "another condition");
    }
}
