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

/// Reads `datapath`; what is absent has its default.
pub(super) fn datapath(node: Option<&Node>, report: &mut Report) -> DatapathPolicy {
    let mut datapath = defaults::DATAPATH;
    let Some(section) = node.and_then(|node| Section::open(node, &DATAPATH, report)) else {
        return datapath;
    };
    if let Some(xdp) = section.get("xdp").and_then(|node| value::choice(node, "datapath.xdp", &XDP, report)) {
        datapath.xdp = xdp;
    }
    if let Some(tc) = section.get("tc").and_then(|node| value::choice(node, "datapath.tc", &TC, report)) {
        datapath.tc = tc;
    }
    if let Some(mark) = section.get("mark").and_then(|node| mark(node, report)) {
        datapath.mark = mark;
    }
    datapath
}

/// Two adjacent bits of the packet mark.
fn mark(node: &Node, report: &mut Report) -> Option<u32> {
    let help = format!("write two adjacent bits as a mask, such as {:#010x}", defaults::DATAPATH.mark);
    let word = value::text(node, "datapath.mark", &help, report)?;
    let mark = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    let adjacent = |mark: &u32| *mark != 0 && *mark >> mark.trailing_zeros() == 0b11;
    let mark = mark.ok().filter(adjacent);
    if mark.is_none() {
        report.error(node.place, format!("{} is not a mask of two adjacent bits", quote(word)), help);
    }
    mark
}
