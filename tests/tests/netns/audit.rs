//! Modes in which the kernel's own rules have the last word: `mode: audit` and `unmatched: pass`.

use anyhow::Result;
use thulium_tests::{
    lab::{CLIENT, Lab, MASQUERADE, POLICY, THULIUM, UNRELATED},
    peer::{Echo, ask},
};

#[test]
fn audit_lets_pass_and_counts_what_it_would_drop() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let gateway = lab.start(&format!("{POLICY}mode: audit\n"))?;
    let _servers = Echo::new(&lab.internet, &[(UNRELATED, 53).into(), (THULIUM, 16_000).into()])?;
    // One socket for both: its port belongs to a mapping of ours and to one of the kernel.
    let client = lab.lan.udp((CLIENT, 5004))?;
    for _ in 0..3 {
        ask(&client, (UNRELATED, 53).into(), b"forbidden")?;
        ask(&client, (THULIUM, 16_000).into(), b"allowed")?;
    }
    gateway.expect_refused(&["no-flow out wan0 would-drop: 3"])?;
    assert_eq!(gateway.refused()?.total(), 0);
    assert_eq!(gateway.refused()?.would_drop(), 3);
    assert!(gateway.ctl("status")?.out.contains("audit"), "status says that nothing is refused");
    Ok(())
}

#[test]
fn unmatched_pass_leaves_strangers_to_the_kernel() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let gateway = lab.start(&format!("{POLICY}unmatched: pass\n"))?;
    let _servers = Echo::new(&lab.internet, &[(UNRELATED, 53).into(), (THULIUM, 16_000).into()])?;
    let client = lab.lan.udp((CLIENT, 5004))?;
    ask(&client, (THULIUM, 16_000).into(), b"in a flow")?;
    ask(&client, (UNRELATED, 53).into(), b"in no flow")?;
    gateway.expect_refused(&["no-flow out wan0 pass: 1"])?;
    assert_eq!(gateway.refused()?.total(), 0);
    Ok(())
}
