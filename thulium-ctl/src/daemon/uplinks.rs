//! What the daemon puts into the kernel of the uplinks: their entries in the maps, and the routes for marked packets.

use crate::{
    datapath::{
        host::routing::{Outlet, Routing, Way},
        publish::UplinkEntry,
        tables::Tables,
    },
    policy::{Policy, image::Slots},
    uplinks::{self, Ground, UplinkGround, Watch, Watched},
};

/// The uplinks in force.
pub(super) struct Uplinks {
    /// Their health.
    pub(super) watch: Watch,
    /// The routes for marked packets.
    pub(super) routing: Routing,
}

impl Uplinks {
    /// Writes them into the maps.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn publish(
        &self,
        tables: &mut Tables,
        policy: &Policy,
        slots: &Slots,
        ground: &Ground,
    ) -> anyhow::Result<()> {
        let is_alone = self.watch.is_alone();
        let pairs = self.watch.uplinks().iter().zip(&ground.uplinks);
        let entries: Vec<UplinkEntry> = pairs.map(|(watched, seen)| entry(watched, seen, is_alone)).collect();
        tables.publish_uplinks(&entries, self.watch.choices(ground))?;
        tables.publish_homes(&ground.homes(policy, slots))
    }

    /// Sets the routes for marked packets. Returns what was changed, a sentence each.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn route(&self, slots: &Slots, ground: &Ground) -> anyhow::Result<Vec<String>> {
        let exit = |way: &uplinks::Way| match way {
            uplinks::Way::None => Outlet::None,
            uplinks::Way::Direct { .. } => Outlet::OnLink,
            uplinks::Way::Via(hop) => Outlet::Router(hop.address),
        };
        let way = |seen: &UplinkGround| {
            Some(Way {
                slot: slots.uplink(&seen.name)?.into(),
                interface: seen.index.unwrap_or_default(),
                ipv4: exit(&seen.way4),
                ipv6: exit(&seen.way6),
            })
        };
        let ways: Vec<Way> = ground.uplinks.iter().filter_map(way).collect();
        self.routing.set(&ways)
    }
}

/// With one uplink the kernel's routes alone count, unless the policy names a next hop: nothing else could take its place.
fn entry(watched: &Watched, seen: &UplinkGround, is_alone: bool) -> UplinkEntry {
    let told = |way: &uplinks::Way| !is_alone || way.next_hop().is_some_and(|hop| hop.from_policy);
    UplinkEntry {
        slot: watched.slot,
        interface: seen.index,
        outside: seen.outside,
        next_hop4: seen.told_next_hop4().filter(|_| told(&seen.way4)),
        next_hop6: seen.told_next_hop6().filter(|_| told(&seen.way6)),
        state: watched.state(),
    }
}
