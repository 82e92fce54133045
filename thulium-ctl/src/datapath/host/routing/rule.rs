//! Rules: which table a marked packet is looked up in.

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

use super::{PROTOCOL, netlink::Netlink, table_of};
use crate::datapath::marks::Marks;

/// Priority of the first rule of slot 0: behind what an admin usually adds, before the kernel's main table (32766).
pub(crate) const FIRST_PRIORITY: u32 = 32_000;
/// Of the rule that leads to the kernel's main table, in every network namespace.
pub(crate) const MAIN_PRIORITY: u32 = 32_766;
/// Rules of a slot.
const RULES: u32 = 2;
/// One behind the last rule of the last slot.
pub(crate) const END_PRIORITY: u32 = FIRST_PRIORITY + RULES * UPLINK_SLOTS as u32;

/// A rule of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    priority: u32,
    mark: u32,
    mask: u32,
    table: u32,
    /// True if a default route that is found does not count.
    suppresses_default: bool,
}

/// Those that send packets for the uplink of `slot` by its table, unless the main table knows a better route than a default one.
fn rules_of(slot: u32, marks: &Marks) -> Vec<Rule> {
    let Some(mark) = marks.of_slot(slot) else { return Vec::new() };
    let priority = FIRST_PRIORITY + RULES * slot;
    let main = u32::from(RouteHeader::RT_TABLE_MAIN);
    let rule = Rule { priority, mark, mask: marks.mask, table: main, suppresses_default: true };
    vec![rule, Rule { priority: priority + 1, table: table_of(slot), suppresses_default: false, ..rule }]
}

/// Sets the rules of these slots, and removes all others of ours. True if that changed anything.
pub(super) fn set(kernel: &mut Netlink, family: AddressFamily, marks: &Marks, slots: &[u32]) -> io::Result<bool> {
    let wanted: Vec<Rule> = slots.iter().flat_map(|slot| rules_of(*slot, marks)).collect();
    let present = ours(kernel, family)?;
    let is_there = |rule: &Rule| present.iter().any(|message| Rule::read(message) == Some(*rule));
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
fn ours(kernel: &mut Netlink, family: AddressFamily) -> io::Result<Vec<RuleMessage>> {
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
            matches!(attribute, RuleAttribute::Priority(priority) if (FIRST_PRIORITY..END_PRIORITY).contains(priority))
        })
}

impl Rule {
    fn message(&self, family: AddressFamily) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = family;
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Priority(self.priority),
            RuleAttribute::FwMark(self.mark),
            RuleAttribute::FwMask(self.mask),
            RuleAttribute::Table(self.table),
            RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
        ];
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
        let mut rule =
            Self { priority: 0, mark: 0, mask: 0, table: u32::from(header.table), suppresses_default: false };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(priority) => rule.priority = *priority,
                RuleAttribute::FwMark(mark) => rule.mark = *mark,
                RuleAttribute::FwMask(mask) => rule.mask = *mask,
                RuleAttribute::Table(table) => rule.table = *table,
                RuleAttribute::SuppressPrefixLen(length) => rule.suppresses_default = *length == 0,
                RuleAttribute::Protocol(_) => {}
                // The kernel tells "none" as all ones.
                RuleAttribute::SuppressIfGroup(u32::MAX) => {}
                _ => return None,
            }
        }
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
        assert_eq!((first.priority, first.mark, first.mask), (32_002, 0x5000_0000, 0xf000_0000));
        assert_eq!((first.table, first.suppresses_default), (254, true));
        assert_eq!((second.priority, second.table, second.suppresses_default), (32_003, 7401, false));
        assert!(rules_of(0, &Marks::of(0x3000_0000, 1)).is_empty());
    }

    #[test]
    fn what_is_told_to_the_kernel_is_read_again() {
        for rule in rules_of(7, &Marks::of(0xf0, 8)) {
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
        message.attributes.push(RuleAttribute::Iifname("lan0".to_owned()));
        assert_eq!(Rule::read(&message), None, "another condition");
    }
}
