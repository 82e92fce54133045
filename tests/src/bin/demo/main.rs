//! The gateway at work: an office uses Thulium through it, everything else is refused and counted.
//!
//! * [`allowed`]: what clients may do. [`refused`]: what they, and the world, must not. [`uplinks`]: one of two fails.
//! * [`tried`]: the table of what was tried, expected and seen.

mod allowed;
mod refused;
mod tried;
mod uplinks;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};
use thulium_tests::{
    lab::{CLIENT, Gateway, Isp, LAN_GATEWAY, Lab, MASQUERADE, STUN, THULIUM, UNRELATED, UPLINK, interrupt},
    peer::Dns,
};

use crate::tried::Tried;

/// The gateway's policy is the repository's own, with the lab's interfaces and resolver.
const POLICY: &str = include_str!("../../../../policies/thulium.yaml");

fn main() -> ExitCode {
    let quick = match env::args().nth(1).as_deref() {
        None => false,
        Some("--quick") => true,
        Some(_) => {
            eprintln!("usage: demo [--quick]\n\n  --quick  leave out the step that waits for 51 s of silence");
            return ExitCode::from(2);
        }
    };
    match demo(quick) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            interrupt::wait_if_interrupted();
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the lab, tries everything, shows what the gateway says about it. True if all was as expected.
fn demo(quick: bool) -> Result<bool> {
    interrupt::dismantle_on_interrupt()?;
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    println!("{}", topology());
    // As on many gateways: a masquerade rule, which admitted packets never meet.
    lab.nft(MASQUERADE)?;
    let dns = Dns::new(&lab.gw, LAN_GATEWAY, 60)?;
    dns.set("acme.thulium.com", &[THULIUM, allowed::SECOND_SERVER]);
    dns.set("stun.l.google.com", &[STUN]);
    println!("Starting `thulium-ctl run --policy policies/thulium.yaml` on the gateway …\n");
    let mut gateway = lab.start(&policy())?;

    let outcome = try_all(&lab, &mut gateway, &dns, quick);
    match &outcome {
        Ok(true) => gateway.hide_log(),
        Ok(false) => {}
        Err(_) => interrupt::wait_if_interrupted(),
    }
    outcome
}

/// Tries everything and shows the table. True if all was as expected.
fn try_all(lab: &Lab, gateway: &mut Gateway<'_>, dns: &Dns, quick: bool) -> Result<bool> {
    let mut tried = Tried::default();
    let silence = allowed::begin_silence(lab)?;
    allowed::all(lab, gateway, dns, &mut tried)?;
    refused::all(lab, gateway, &mut tried)?;
    if !quick {
        allowed::end_silence(silence, &mut tried);
    }
    // Last of all: the silent phone's mapping is one of the uplink that fails.
    uplinks::all(lab, &mut tried)?;
    show(gateway)?;
    println!("What was tried\n\n{tried}");
    if quick {
        println!("Left out (--quick): a call to a phone after 51 s of silence.");
    }
    println!("{}", tried.summary());
    Ok(tried.as_expected())
}

fn policy() -> String {
    let second = "source_nat: masquerade\n  - { name: isp-b, interface: wan1 }\n";
    let policy =
        POLICY.replace("interfaces: [eth1]", "interfaces: [lan0]").replace("interface: eth0", "interface: wan0");
    format!("{}\nresolvers: [{LAN_GATEWAY}]\n", policy.replacen("source_nat: masquerade\n", second, 1))
}

fn topology() -> String {
    format!(
        "\
Three network namespaces of this machine: an office, its gateway, the internet.

  office                   gateway                                 internet
  {CLIENT}–13 ──── lan0 {LAN_GATEWAY} │ wan0 {UPLINK} ──── {THULIUM}  acme.thulium.com
                                          │ wan1 {second} ──── {STUN}  stun.l.google.com
                                                                   {UNRELATED}  an unrelated host
",
        second = Isp::B.address()
    )
}

/// The real output of the commands that an admin would look at now.
fn show(gateway: &Gateway<'_>) -> Result<()> {
    for verb in ["status", "uplinks", "flows", "drops"] {
        let ran = gateway.ctl(verb)?;
        if ran.code != 0 {
            bail!("thulium-ctl {verb} exits {}: {}{}", ran.code, ran.out, ran.err);
        }
        println!("\n$ thulium-ctl {verb}\n{}", if verb == "flows" { shorten(&ran.out) } else { ran.out });
    }
    Ok(())
}

/// At most 30 lines of a command's output: 300 sessions are not worth a screen each.
fn shorten(output: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<_> = output.lines().collect();
    if lines.len() <= LINES {
        return output.to_owned();
    }
    let (head, tail) = (&lines[..LINES - 5], &lines[lines.len() - 4..]);
    let hidden = lines.len() - head.len() - tail.len();
    format!("{}\n  … {hidden} more lines …\n{}\n", head.join("\n"), tail.join("\n"))
}
