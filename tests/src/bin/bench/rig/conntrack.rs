//! nftables, with its due: nothing is timed out, dropped early, or checked that a network card would have checked.

use std::fs;

use anyhow::{Context, Result};
use thulium_tests::lab::Lab;

use super::policy;

/// Loads the rules and sets connection tracking up, in the gateway's namespace alone.
///
/// # Errors
/// When `nft` or a setting is refused.
pub(crate) fn set_up(lab: &Lab) -> Result<()> {
    lab.nft(&policy::rules())?;
    for (key, value) in [
        ("nf_conntrack_udp_timeout", "86400"),
        ("nf_conntrack_udp_timeout_stream", "86400"),
        // Frames of the source carry no mark that their checksum was verified, as a card's would.
        ("nf_conntrack_checksum", "0"),
    ] {
        lab.gw.sysctl(&format!("net/netfilter/{key}"), value)?;
    }
    Ok(())
}

/// Says why connection tracking is no match for so many flows on this machine, if it is none. Its size is the whole machine's
/// and not a namespace's, so that it is the owner's to set and not the bench's.
///
/// # Errors
/// When its size cannot be read.
pub(super) fn shortage(flows: u32) -> Result<Option<String>> {
    let (most, buckets) = (size("max")?, size("buckets")?);
    // Two keys a connection; the kernel's own default is a bucket for each two.
    if most > flows && buckets >= flows {
        return Ok(None);
    }
    let (wanted, room) = (flows.next_power_of_two(), flows + flows / 8);
    Ok(Some(format!(
        "this machine's connection tracking has room for {most} connections in {buckets} buckets; \
         `sysctl -w net.netfilter.nf_conntrack_max={room} net.netfilter.nf_conntrack_buckets={wanted}` makes room for {flows}"
    )))
}

fn size(of: &str) -> Result<u32> {
    let path = format!("/proc/sys/net/netfilter/nf_conntrack_{of}");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    text.trim().parse().with_context(|| format!("{path} is {text}"))
}
