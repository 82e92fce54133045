//! What prevents a start is said in a sentence with the remedy, and nothing is left half attached.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context, Result};
use thulium_tests::{
    lab::{CLIENT, Gateway, Lab, POLICY, Process, Ran, THULIUM, UNRELATED, Verb, eventually, thulium_ctl},
    peer::{Echo, ask},
};

pub(crate) fn run(lab: &Lab, policy: &str, prepare: impl FnOnce(&mut std::process::Command)) -> Result<Ran> {
    let file = lab.dir().join("refused.yaml");
    fs::write(&file, policy)?;
    let mut run = Verb::new(lab, "run --policy")?;
    run.command().arg(file);
    prepare(run.command());
    run.ran()
}

#[test]
fn a_second_instance_on_the_same_interface() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let second = run(&lab, POLICY, |command| {
        command.env("THULIUM_INSTANCE", format!("{}-second", lab.id()));
    })?;
    assert_eq!(second.code, 4, "{second:?}");
    assert!(second.err.contains(lab.id()), "it names the other instance: {}", second.err);
    let kept = format!("/var/lib/thulium-ctl/{}-second", lab.id());
    assert!(!Path::new(&kept).exists(), "{kept} is left of a start that was refused");
    // The first goes on as if nothing had been tried.
    let media = SocketAddr::from((THULIUM, 16_000));
    let _server = Echo::new(&lab.internet, &[media])?;
    ask(&lab.lan.udp((CLIENT, 0))?, media, b"hello")?;
    lab.lan.udp((CLIENT, 0))?.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

#[test]
fn the_same_instance_twice() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let second = run(&lab, POLICY, |_| {})?;
    assert_eq!(second.code, 4, "{second:?}");
    assert_eq!(gateway.ctl("status")?.code, 0);
    Ok(())
}

#[test]
fn without_a_bpf_file_system() -> Result<()> {
    let lab = Lab::new()?;
    let ran = run(&lab, POLICY, |command| {
        command.env("THULIUM_BPFFS", lab.dir());
    })?;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("mount -t bpf"), "it says how to mount one: {}", ran.err);
    Ok(())
}

#[test]
fn within_ip_netns_exec_which_hides_the_bpf_file_system() -> Result<()> {
    let lab = Lab::new()?;
    let policy = lab.dir().join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let ctl = format!("ip netns exec {} {}", lab.gw.name(), thulium_ctl()?.display());
    // In a mount namespace of its own the usual place is free for this test.
    let script = format!(
        "mount -t bpf bpf /sys/fs/bpf
         {ctl} run --policy {} &
         daemon=$!
         timeout 20 sh -c 'until {ctl} status > /dev/null; do sleep 0.1; done'
         kill -TERM $daemon
         wait $daemon
         {ctl} status
         {ctl} down",
        policy.display()
    );
    let mut shell = std::process::Command::new("unshare");
    let shell = shell.args(["--mount", "sh", "-c", &script]).env("THULIUM_INSTANCE", lab.id());
    let output = shell.env_remove("THULIUM_BPFFS").output().context("starting unshare")?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    for expected in ["ready: instance", "ATTACHED, but no daemon serves it", "is off: nothing is attached"] {
        assert!(said.contains(expected), "it does not say {expected:?}: {said}");
    }
    Ok(())
}

#[test]
fn without_root() -> Result<()> {
    let lab = Lab::new()?;
    // A copy that anybody may run, wherever the build is.
    let binary = lab.dir().join("thulium-ctl");
    fs::copy(thulium_ctl()?, &binary)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
    let policy = lab.dir().join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let mut command = lab.gw.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    let output = command
        .args(["run", "--policy"])
        .arg(policy)
        .env("THULIUM_BPFFS", lab.bpffs())
        .env("THULIUM_INSTANCE", lab.id())
        .output()
        .context("starting setpriv")?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("root"), "it says what is missing: {said}");
    Ok(())
}

#[test]
fn with_an_interface_that_is_not_there() -> Result<()> {
    let lab = Lab::new()?;
    let ran = run(&lab, &POLICY.replace("interface: wan0", "interface: wan9"), |_| {})?;
    assert_eq!(ran.code, 78, "{ran:?}");
    assert!(ran.err.contains("wan9"), "it names the interface: {}", ran.err);
    Ok(())
}

#[test]
fn a_restart_that_is_refused_leaves_the_policy_in_force() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link add lan1 type veth peer name lan1-far")?;
    let mut gateway = lab.start(POLICY)?;
    let other = POLICY.replace("interfaces: [lan0]", "interfaces: [lan1]").replace("wan0", "lan1-far");
    let file = lab.dir().join("other.yaml");
    fs::write(&file, other)?;
    let name = format!("{}-other", lab.id());
    let mut second = lab.gw.command(&thulium_ctl()?.display().to_string());
    second.args(["run", "--policy"]).arg(&file).env("THULIUM_BPFFS", lab.bpffs()).env("THULIUM_INSTANCE", &name);
    let mut second = Process::spawn(&mut second, &lab.dir().join("other.log"))?;
    eventually("the other instance is attached", || {
        let mut status = Verb::new(&lab, "status")?;
        status.command().env("THULIUM_INSTANCE", &name);
        let status = status.ran()?;
        anyhow::ensure!(status.code == 0, "{}", status.out);
        Ok(())
    })?;
    let generation = |gateway: &Gateway<'_>| anyhow::Ok(gateway.json("status")?["datapath"]["generation"].as_u64());
    let before = generation(&gateway)?;
    gateway.kill()?;
    let greedy = POLICY.replace("interfaces: [lan0]", "interfaces: [lan0, lan1]");
    let refused = run(&lab, &greedy, |_| {})?;
    assert_eq!(refused.code, 4, "{refused:?}");
    gateway.restart(None)?;
    assert_eq!(generation(&gateway)?, before.map(|before| before + 1), "the refused start published nothing");
    second.signal(nix::sys::signal::Signal::SIGTERM)?;
    second.wait(Duration::from_secs(5))?;
    let mut down = Verb::new(&lab, "down")?;
    down.command().env("THULIUM_INSTANCE", &name);
    assert_eq!(down.ran()?.code, 0);
    Ok(())
}

#[test]
fn status_without_anything_attached() -> Result<()> {
    let lab = Lab::new()?;
    for verb in ["status", "drops", "flows"] {
        assert_eq!(Verb::new(&lab, verb)?.ran()?.code, 3, "{verb}");
    }
    Ok(())
}

#[test]
fn run_ends_by_a_signal_and_keeps_enforcing() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    gateway.terminate()?;
    lab.lan.udp((CLIENT, 0))?.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    eventually("status to say that no daemon serves it", || {
        anyhow::ensure!(gateway.ctl("status")?.code == 3);
        Ok(())
    })
}
