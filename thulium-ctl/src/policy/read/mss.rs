//! `mss_clamp`: the largest segment that TCP connections are told of.

use super::value;
use crate::policy::{
    MssClamp,
    error::{Report, quote, suggest},
    tree::Node,
};

/// What every IPv4 host must take (RFC 9293 §3.7.1).
const SMALLEST: u32 = 536;
/// What an MTU of 9000 bytes has room for in IPv4.
const LARGEST: u32 = 8960;

/// `auto`, `off`, or a number of bytes.
pub(super) fn clamp(node: &Node, report: &mut Report) -> Option<MssClamp> {
    let help = format!("write auto, off, or a number of bytes from {SMALLEST} to {LARGEST}, such as 1452 for PPPoE");
    match value::text(node, "mss_clamp", &help, report)? {
        "auto" => Some(MssClamp::Auto),
        "off" => Some(MssClamp::Off),
        word if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            value::number(node, "mss_clamp", SMALLEST..=LARGEST, 1452, report).map(MssClamp::Bytes)
        }
        word => {
            let near =
                suggest(word, ["auto", "off"]).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            report.error(node.place, format!("{} is no value of `mss_clamp`", quote(word)), format!("{near}{help}"));
            None
        }
    }
}
