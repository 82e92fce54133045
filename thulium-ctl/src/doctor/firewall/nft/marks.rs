//! What a rule makes of the packet mark.

use serde_json::Value as Json;

use crate::doctor::firewall::rules::Action;

/// `meta mark set …`: new = old & kept | added.
pub(super) fn set_mark(statement: &Json) -> Option<Action> {
    if statement["key"]["meta"]["key"] != "mark" {
        return None;
    }
    let value = &statement["value"];
    if let Some(constant) = value.as_u64() {
        return Some(Action::SetMark(u32::MAX, Some(constant as u32)));
    }
    Some(match kept_and_added(value) {
        Some((kept, added)) => Action::SetMark(!kept | added, Some(added)),
        // Something else altogether, such as the mark of the connection: nothing is kept.
        None => Action::SetMark(u32::MAX, None),
    })
}

/// Of an expression over the old mark: which bits of it are kept, and which are set.
fn kept_and_added(value: &Json) -> Option<(u32, u32)> {
    if value["meta"]["key"] == "mark" {
        return Some((u32::MAX, 0));
    }
    let constant = |value: &Json| value.as_u64().map(|number| number as u32);
    if let Some(parts) = value.get("&") {
        let (kept, added) = kept_and_added(&parts[0])?;
        let mask = constant(&parts[1])?;
        return Some((kept & mask, added & mask));
    }
    if let Some(parts) = value.get("|") {
        let (kept, added) = kept_and_added(&parts[0])?;
        return Some((kept, added | constant(&parts[1])?));
    }
    None
}
