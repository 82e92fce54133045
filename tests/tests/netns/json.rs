//! What scripts read is what `docs/json.md` says.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use thulium_tests::{
    lab::{CLIENT, Isp, Lab, POLICY_TWO_UPLINKS, THULIUM, eventually},
    peer::{Echo, ask},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);
const PAGE: &str = include_str!("../../../docs/json.md");

/// The fields of a value, as the page writes them (`uplinks[].probe.at`).
fn fields(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let dot = if path.is_empty() { "" } else { "." };
            fields.iter().for_each(|(name, value)| self::fields(value, &format!("{path}{dot}{name}"), found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| fields(element, &format!("{path}[]"), found)),
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_field_that_is_printed_is_documented() -> Result<()> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    let gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    ask(&client, MEDIA, b"a session")?;
    client.send_to(b"refused", (THULIUM, 9))?;
    eventually("the refusal", || {
        ensure!(gateway.json("drops")?["drops"][0].is_object());
        Ok(())
    })?;
    for (verb, row) in [
        ("status", "/datapath/uplinks/0"),
        ("drops", "/drops/0"),
        ("flows", "/sessions/0"),
        ("clients", "/clients/0/pin"),
        ("uplinks", "/uplinks/0/probe"),
        ("hosts", "/hosts/0/addresses/0"),
    ] {
        let printed = gateway.json(verb)?;
        ensure!(printed.pointer(row).is_some_and(Value::is_object), "{verb} has nothing to look at: {printed}");
        let (_, section) =
            PAGE.split_once(&format!("\n## `{verb}`\n")).with_context(|| format!("{verb}: no section"))?;
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut found = Vec::new();
        fields(&printed, "", &mut found);
        for field in found {
            ensure!(section.contains(&format!("`{field}`")), "{verb}: `{field}` is not documented");
        }
    }
    Ok(())
}
