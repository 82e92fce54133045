//! The interfaces between which XDP forwards, in the datapath's map. It is right without a daemon: a frame for another hardware address
//! than the one noted here goes up to TC.

use std::{thread, time::Duration};

use thulium_ebpf::abi::{STATION_PLACES, Station};

use crate::datapath::tables::Tables;

/// Within this time what XDP has taken from an interface is on its way out of the other one.
const DRAINED: Duration = Duration::from_millis(20);

impl Tables {
    /// Makes these the stations.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn publish_stations(&mut self, stations: &[Station]) -> anyhow::Result<()> {
        for place in 0..STATION_PLACES as u32 {
            let new = stations.iter().find(|station| Station::place(station.interface) == place);
            let (old, new) = (self.stations.get(&place, 0)?, new.copied().unwrap_or_default());
            if old == new {
                continue;
            }
            if old.forwards == 1 && old.interface != new.interface {
                // Nobody is to see the new index beside what holds for the old one.
                self.stations.set(place, Station { forwards: 0, ..old }, 0)?;
            }
            self.stations.set(place, new, 0)?;
        }
        Ok(())
    }

    /// Ends forwarding by all interfaces but those to `keep` (by index), and waits until what was taken has left: then their programs can
    /// be taken off without a loss.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn withdraw_stations(&mut self, keep: impl Fn(u32) -> bool) -> anyhow::Result<()> {
        let mut has_withdrawn = false;
        for place in 0..STATION_PLACES as u32 {
            let old = self.stations.get(&place, 0)?;
            if old.forwards == 1 && !keep(old.interface) {
                self.stations.set(place, Station { forwards: 0, ..old }, 0)?;
                has_withdrawn = true;
            }
        }
        if has_withdrawn {
            thread::sleep(DRAINED);
        }
        Ok(())
    }

    /// Whether XDP forwards by an interface, as the datapath has it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(in crate::datapath) fn forwards_by(&self, interface: u32) -> anyhow::Result<bool> {
        let station = self.stations.get(&Station::place(interface), 0)?;
        Ok(station.interface == interface && station.forwards == 1)
    }
}
