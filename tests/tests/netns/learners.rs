//! The programs by which names learn their addresses: where they stand, and a gateway without them. What they learn is tested in
//! `object`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use thulium_tests::lab::{Lab, POLICY, eventually};

use crate::flows::everything;

const CLSACT: &str = "datapath: { tc: clsact }\n";

/// The programs at the LAN's ingress, in the order in which they run.
fn at_ingress(lab: &Lab) -> Result<Vec<String>> {
    // Kernels before 6.6 know no TCX: there, all are filters.
    let programs = lab.gw.run(|| SchedClassifier::query_tcx("lan0", TcAttachType::Ingress))?;
    let programs = programs.map(|(_, programs)| programs).unwrap_or_default();
    let by_tcx = programs.iter().filter_map(|program| Some(program.name_as_str()?.to_owned()));
    let json: serde_json::Value = serde_json::from_str(&lab.gw.output("tc", "-json filter show dev lan0 ingress")?)?;
    let filters = json.as_array().context("no array")?;
    let by_clsact = filters.iter().filter_map(|filter| Some(filter["options"]["bpf_name"].as_str()?.to_owned()));
    Ok(by_tcx.chain(by_clsact).collect())
}

/// What `lan_ingress` sends on never comes to a program behind it.
#[test]
fn queries_are_seen_before_they_are_sent_on() -> Result<()> {
    for more in ["", CLSACT] {
        let lab = Lab::new()?;
        let mut gateway = lab.start(&format!("{POLICY}{more}"))?;
        let expected = ["lan_queries", "lan_ingress"];
        assert_eq!(at_ingress(&lab)?, expected);
        gateway.kill()?;
        gateway.restart(None)?;
        assert_eq!(at_ingress(&lab)?, expected, "after a restart");

        // Somebody took the one off that enforces: the next run attaches it anew.
        gateway.kill()?;
        if more == CLSACT {
            lab.gw.output("tc", "filter del dev lan0 ingress pref 1 handle 0x7468 bpf")?;
        } else {
            let pin = find(&lab, "tcx-lan_ingress-")?;
            fs::remove_file(pin)?;
        }
        // The kernel lets a link go some time after its last pin and file are gone.
        eventually("only lan_queries is left", || {
            let left = at_ingress(&lab)?;
            ensure!(left == ["lan_queries"], "{left:?}");
            Ok(())
        })?;
        gateway.restart(None)?;
        assert_eq!(at_ingress(&lab)?, expected, "after one was attached anew");
        gateway.down()?;
        assert_eq!(at_ingress(&lab)?, [""; 0]);
    }
    Ok(())
}

/// The pin of the lab's instance whose name begins so.
fn find(lab: &Lab, begin: &str) -> Result<std::path::PathBuf> {
    let mut folders = vec![lab.bpffs()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with(begin) {
                return Ok(entry.path());
            }
        }
    }
    anyhow::bail!("there is no pin {begin}…")
}

#[test]
fn without_them_everything_else_works() -> Result<()> {
    let lab = Lab::new()?;
    // The kernel puts no second kind of filter beside one of this priority.
    lab.gw.output("tc", "qdisc add dev lan0 clsact")?;
    lab.gw.output("tc", "filter add dev lan0 egress pref 1 protocol ip u32 match u32 0 0 flowid 1:1")?;
    let gateway = lab.start(&format!("{POLICY}{CLSACT}"))?;
    everything(&lab)?;
    gateway.expect_refused(&[])?;
    let status = gateway.ctl("status")?;
    let expected = "names are not learned from DNS replies: the kernel does not attach the program lan_replies to lan0";
    assert!(status.out.starts_with("ENFORCING"), "{}", status.out);
    assert!(status.out.replace("\n  ", " ").contains(expected), "{}", status.out);
    Ok(())
}
