//! The preferred uplink fails in mid-call, and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{Isp, Lab, THULIUM, client, within},
    peer::{Echo, Office, ask},
};

use crate::tried::Tried;

/// Clients with a registration, a call and HTTPS each.
const CLIENTS: std::ops::Range<u8> = 100..120;
/// Clients that come later.
const NEWCOMERS: std::ops::Range<u8> = 120..160;
/// The longest that any of it takes; mostly it is a second.
const LONGEST: Duration = Duration::from_secs(20);

/// Lets an office work, and cuts its uplink.
pub(crate) fn all(lab: &Lab, tried: &mut Tried) -> Result<()> {
    println!("\nAn uplink fails: {} clients have a SIP registration, a call and HTTPS each:", CLIENTS.len());
    lab.add_clients(CLIENTS.start..NEWCOMERS.end)?;
    let office = Office::new(lab, THULIUM, CLIENTS)?;
    let stays = |at: Isp| -> Result<String> {
        office.wait_by(at.address(), Instant::now(), LONGEST)?;
        Ok(seen(&office))
    };
    tried.step("they talk", &all_by(Isp::A), || stays(Isp::A));
    tried.step("the preferred uplink is cut", &all_by(Isp::B), || {
        lab.cut(Isp::A)?;
        stays(Isp::B)
    });
    tried.step("it is back, and somebody begins to work", &Isp::A.address().to_string(), || {
        lab.restore(Isp::A)?;
        newcomer(lab)
    });
    tried.step("those who talk", &all_by(Isp::B), || {
        office.take_seen();
        stays(Isp::B)
    });
    Ok(())
}

fn all_by(isp: Isp) -> String {
    format!("all by {}", isp.address())
}

/// Where the servers saw the clients of late.
fn seen(office: &Office) -> String {
    let seen = office.take_seen();
    let Some(newest) = seen.last() else { return "nobody is heard".to_owned() };
    let moved = seen.iter().position(|seen| seen.address == newest.address).unwrap_or_default();
    // After the first that comes by another uplink, nobody comes by the old one.
    let strays = seen[moved..].iter().filter(|seen| seen.address != newest.address).count();
    if strays == 0 { format!("all by {}", newest.address) } else { format!("{strays} packets by another way") }
}

/// Where a client is seen that nobody has seen before: soon by the preferred uplink again.
fn newcomer(lab: &Lab) -> Result<String> {
    let server = (THULIUM, 17_000).into();
    let _server = Echo::new(&lab.internet, &[server])?;
    let mut hosts = NEWCOMERS;
    within(LONGEST, "a newcomer to take the preferred uplink", || {
        let host = hosts.next().context("none of the newcomers takes it")?;
        let seen = ask(&lab.lan.udp((client(host), 5060))?, server, b"hello")?.ip();
        thread::sleep(LONGEST / 40);
        ensure!(seen == Isp::A.address(), "{seen}");
        Ok(seen.to_string())
    })
}
