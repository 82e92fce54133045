//! `datapath`: how the programs are attached.

use super::value;
use crate::policy::{
    DatapathPolicy, TcMode, XdpMode, defaults,
    error::{Report, quote},
    section::{DATAPATH, Section},
    tree::Node,
};

const XDP: [(&str, XdpMode); 3] = [("auto", XdpMode::Auto), ("native", XdpMode::Native), ("off", XdpMode::Off)];
const TC: [(&str, TcMode); 3] = [("auto", TcMode::Auto), ("tcx", TcMode::Tcx), ("clsact", TcMode::Clsact)];

/// Reads `datapath` of a policy with so many uplinks; what is absent has its default.
pub(super) fn datapath(node: Option<&Node>, uplinks: usize, report: &mut Report) -> DatapathPolicy {
    let mut datapath = defaults::datapath(uplinks);
    let Some(section) = node.and_then(|node| Section::open(node, &DATAPATH, report)) else {
        return datapath;
    };
    if let Some(xdp) = section.get("xdp").and_then(|node| value::choice(node, "datapath.xdp", &XDP, report)) {
        datapath.xdp = xdp;
    }
    if let Some(tc) = section.get("tc").and_then(|node| value::choice(node, "datapath.tc", &TC, report)) {
        datapath.tc = tc;
    }
    if let Some(mark) = section.get("mark").and_then(|node| mark(node, uplinks, report)) {
        datapath.mark = mark;
    }
    datapath
}

/// Adjacent bits of the packet mark: four, or with one uplink two.
fn mark(node: &Node, uplinks: usize, report: &mut Report) -> Option<u32> {
    let (bits, legal): (_, &[u32]) = match uplinks {
        0 | 1 => ("two or four", &[0b11, 0b1111]),
        _ => ("four", &[0b1111]),
    };
    let example = defaults::datapath(uplinks).mark;
    let help = format!("write {bits} adjacent bits as a mask, such as {example:#010x}");
    let word = value::text(node, "datapath.mark", &help, report)?;
    let mark = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    let shape = |mark: u32| mark.checked_shr(mark.trailing_zeros()).unwrap_or_default();
    match mark {
        Ok(mark) if legal.contains(&shape(mark)) => Some(mark),
        Ok(mark) if shape(mark) == 0b11 => {
            let message = format!("{} has two bits, and several uplinks need four", quote(word));
            report.error(node.place, message, format!("{help}: the mark tells by which uplink a packet leaves"));
            None
        }
        _ => {
            report.error(node.place, format!("{} is not a mask of {bits} adjacent bits", quote(word)), help);
            None
        }
    }
}
