//! Routes for packets of clients that need the kernel (TTL, MTU, fragments) where there are several uplinks: they leave by the client's
//! uplink, whatever the default route says.
//!
//! The datapath marks such a packet with the slot of its uplink. For each slot there are, in both families,
//!
//! ```text
//! ip rule   priority 32000 + 2 × slot:      fwmark MARK/MASK lookup main suppress_prefixlength 0
//! ip rule   priority 32000 + 2 × slot + 1:  fwmark MARK/MASK lookup 7400 + slot
//! ip route  table 7400 + slot:              default [via NEXT_HOP] dev INTERFACE onlink
//!                                           unreachable default metric 4278198272
//! ip rule   priority 32800:                 iif LAN lookup TABLE of the first uplink that has a way out
//! ```
//!
//! so that routes to the LAN, a VPN, or anything that is better than a default route come first, and a packet whose uplink is gone goes
//! nowhere else. The last rule counts where nobody else knows a way, as when the uplink with the only default route of the main table is
//! gone: the datapath asks the kernel whether a destination is beyond an uplink.
//!
//! They stand beside what the admin has: all of it carries our `PROTOCOL`, and is known by that together with
//! the priority or table. A rule of the admin's at one of these priorities is left alone; a table with routes of others is refused.

mod rule;
mod table;

use std::{io, net::IpAddr};

use anyhow::Context;
use nix::errno::Errno;
use rtnetlink::{packet_route::AddressFamily, sys::protocols::NETLINK_ROUTE};
use thulium_ebpf::abi::UPLINK_SLOTS;

use self::{
    rule::LastResort,
    table::{Route, Table},
};
use crate::{
    datapath::{marks::Marks, netlink::Netlink},
    exit::{Exit, Failure},
};

pub(crate) use self::rule::{END_PRIORITY, FIRST_PRIORITY, MAIN_PRIORITY};

/// Says of rules and routes whose they are (`ip rule show protocol 84`).
pub(crate) const PROTOCOL: u8 = 84;
/// Table of slot 0; each further slot has the next one.
pub(crate) const FIRST_TABLE: u32 = 7400;

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// The way out by an uplink of the policy, whatever its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Slot of the uplink, less than [`UPLINK_SLOTS`].
    pub slot: u32,
    /// Index of its interface; 0: it is gone.
    pub interface: u32,
    /// How IPv4 leaves by it.
    pub ipv4: Outlet,
    /// How IPv6 leaves by it.
    pub ipv6: Outlet,
}

/// How packets of a family leave by an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// Not at all, at present.
    None,
    /// To whom they are addressed, on the link: one with two ends alone (PPP, WireGuard, tun), or where somebody answers for everybody.
    OnLink,
    /// By this router.
    Router(IpAddr),
}

/// The rules and tables of a datapath.
#[derive(Clone, Debug)]
pub struct Routing {
    marks: Marks,
    lan: Vec<String>,
}

impl Routing {
    /// Of a datapath with these marks and LAN interfaces. With one uplink there are no rules and tables.
    pub const fn new(marks: Marks, lan: Vec<String>) -> Self {
        Self { marks, lan }
    }

    /// Sets rules and tables for all uplinks of the policy, in order of preference, and removes those of others. To be called at the start and whenever a link or a
    /// route has changed: the kernel drops the routes of an interface that goes down. What is right already is left alone. Returns what
    /// was changed, a sentence each. Blocks no longer than the kernel takes.
    ///
    /// # Errors
    /// If the kernel refuses, or others have routes in these tables.
    pub fn set(&self, ways: &[Way]) -> anyhow::Result<Vec<String>> {
        let ways = if self.marks.uplinks.is_some() { ways } else { &[] };
        let mut kernel = Netlink::open(NETLINK_ROUTE).context("cannot ask the kernel for its routes")?;
        let mut families = Vec::new();
        for family in FAMILIES {
            let what = || format!("cannot read the rules and tables of {}", name(family));
            match rule::ours(&mut kernel, family) {
                Err(error) if is_missing(&error) && (ways.is_empty() || family == AddressFamily::Inet6) => continue,
                rules => rules.with_context(what)?,
            };
            let tables = read_tables(&mut kernel, family).with_context(what)?;
            refuse_shared(&tables, ways, family)?;
            families.push((family, tables));
        }
        let mut done = Vec::new();
        for (family, tables) in &families {
            let changed = self.set_family(&mut kernel, *family, tables, ways);
            done.extend(
                changed.with_context(|| {
                    format!("cannot set the rules and routes of {} for marked packets", name(*family))
                })?,
            );
        }
        Ok(done)
    }

    /// Removes all that [`Routing::set`] has ever set in this network namespace, and nothing else; it needs no record of it. True if there
    /// was anything.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove() -> anyhow::Result<bool> {
        let removed =
            Self::new(Marks::of(0, 0), Vec::new()).set(&[]).context("cannot remove the rules and routes of uplinks")?;
        Ok(!removed.is_empty())
    }

    /// Tables come before the rules that lead to them, and go after them.
    fn set_family(
        &self,
        kernel: &mut Netlink,
        family: AddressFamily,
        tables: &[Table],
        ways: &[Way],
    ) -> io::Result<Vec<String>> {
        let mut done = Vec::new();
        let mut last_resort = LastResort { lan: &self.lan, slot: None };
        for way in ways {
            let out = way.out(family);
            last_resort.slot = last_resort.slot.or(out.map(|_| way.slot));
            if tables[way.slot as usize % UPLINK_SLOTS].set(kernel, out)? {
                done.push(way.describe(family, out));
            }
        }
        let slots: Vec<u32> = ways.iter().map(|way| way.slot).collect();
        if rule::set(kernel, family, &self.marks, &slots, last_resort)? {
            done.push(format!("rules by mark for {} uplinks ({})", slots.len(), name(family)));
        }
        for (slot, table) in (0..).zip(tables).filter(|(slot, _)| !slots.contains(slot)) {
            if table.clear(kernel)? {
                done.push(format!("routing table {} is empty ({})", table_of(slot), name(family)));
            }
        }
        Ok(done)
    }
}

impl Way {
    /// The route of a family; `None`: there is none at present.
    fn out(&self, family: AddressFamily) -> Option<Route> {
        let exit = if family == AddressFamily::Inet6 { self.ipv6 } else { self.ipv4 };
        let router = match exit {
            Outlet::None => return None,
            Outlet::OnLink => None,
            Outlet::Router(address) => Some(address),
        };
        (self.interface != 0).then_some(Route::Out { interface: self.interface, router })
    }

    fn describe(&self, family: AddressFamily, out: Option<Route>) -> String {
        let interface = nix::net::if_::if_indextoname(self.interface)
            .map_or_else(|_| "an interface that is gone".to_owned(), |name| name.to_string_lossy().into_owned());
        let way = match out {
            Some(Route::Out { router: Some(router), .. }) => format!("leads to {router} by {interface}"),
            Some(Route::Out { router: None, .. }) => format!("leads out by {interface}"),
            _ => "leads nowhere at present".to_owned(),
        };
        format!("routing table {} {way} ({})", table_of(self.slot), name(family))
    }
}

/// The table of a slot.
const fn table_of(slot: u32) -> u32 {
    FIRST_TABLE + slot
}

const fn name(family: AddressFamily) -> &'static str {
    match family {
        AddressFamily::Inet6 => "IPv6",
        _ => "IPv4",
    }
}

fn read_tables(kernel: &mut Netlink, family: AddressFamily) -> io::Result<Vec<Table>> {
    (0..UPLINK_SLOTS as u32).map(|slot| Table::read(kernel, family, table_of(slot))).collect()
}

/// True if the kernel does not know the family, or no rules of it.
fn is_missing(error: &io::Error) -> bool {
    [Errno::EAFNOSUPPORT, Errno::EOPNOTSUPP].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// A table that somebody else uses would send our packets by his routes, and his by ours.
fn refuse_shared(tables: &[Table], ways: &[Way], family: AddressFamily) -> Result<(), Failure> {
    let Some(way) = ways.iter().find(|way| tables[way.slot as usize % UPLINK_SLOTS].is_shared) else {
        return Ok(());
    };
    let id = table_of(way.slot);
    let ip = if family == AddressFamily::Inet6 { "ip -6" } else { "ip" };
    let tables = format!("{FIRST_TABLE} to {}", table_of(UPLINK_SLOTS as u32 - 1));
    Err(Failure::new(
        Exit::Kernel,
        format!(
            "routing table {id}, which is ours for the packets of an uplink, has routes of others ({})",
            name(family)
        ),
        format!(
            "Give these routes another table than {tables}; they are: {ip} route show table {id}\n\
             If nobody needs them: {ip} route flush table {id}"
        ),
    ))
}
