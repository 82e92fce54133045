//! T10: what admins see and do about the uplinks that clients are pinned to, and what pins outlive.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use thulium_tests::{
    lab::{CLIENT, Gateway, Isp, Lab, POLICY, POLICY_TWO_UPLINKS, THULIUM, client, eventually, within},
    peer::{Echo, ask},
};

const MEDIA: SocketAddr = SocketAddr::new(IpAddr::V4(THULIUM), 16_000);

/// As [`POLICY_TWO_UPLINKS`], with half of the clients on each uplink.
const SHARED: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks:
  - { name: isp-a, interface: wan0, weight: 1 }
  - { name: isp-b, interface: wan1, weight: 1 }
hosts:
  thulium: { names: [], addresses: [203.0.113.10] }
  stun: { names: [], addresses: [203.0.113.20] }
";

/// The public address of a client.
fn public(socket: &UdpSocket) -> Result<IpAddr> {
    Ok(ask(socket, MEDIA, b"speech")?.ip())
}

/// What `clients` says of a client; `None`: it is not listed.
fn listed(gateway: &Gateway<'_>, client: Ipv4Addr) -> Result<Option<Value>> {
    let clients = gateway.json("clients")?;
    let all = clients["clients"].as_array().context("no list")?;
    Ok(all.iter().find(|one| one["client"] == client.to_string()).cloned())
}

/// The uplinks of all pinned clients.
fn pins(gateway: &Gateway<'_>) -> Result<BTreeMap<String, String>> {
    let clients = gateway.json("clients")?;
    let pin = |one: &Value| Some((one["client"].as_str()?.to_owned(), one["pin"]["uplink"].as_str()?.to_owned()));
    Ok(clients["clients"].as_array().context("no list")?.iter().filter_map(pin).collect())
}

/// The file of the pins.
fn file(lab: &Lab) -> PathBuf {
    PathBuf::from("/var/lib/thulium-ctl").join(lab.id()).join("pins.json")
}

/// The gateway begins anew with nothing but what is on its disk, as after a boot. `change`: what happens to the pins there meanwhile.
fn reboot(lab: &Lab, gateway: &mut Gateway<'_>, change: impl FnOnce(&mut Value)) -> Result<()> {
    gateway.terminate()?;
    fs::remove_dir_all(lab.bpffs().join("thulium"))?;
    let mut saved: Value = serde_json::from_slice(&fs::read(file(lab))?)?;
    change(&mut saved["pins"]);
    fs::write(file(lab), saved.to_string())?;
    gateway.restart(None)
}

fn seconds_since_1970() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

#[test]
fn clients_keep_their_uplinks_over_a_restart_a_crash_and_a_boot() -> Result<()> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    lab.add_clients(100..116)?;
    let mut gateway = lab.start(SHARED)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phones = (100..116).map(|host| lab.lan.udp((client(host), 5060))).collect::<Result<Vec<_>>>()?;
    let addresses = || phones.iter().map(public).collect::<Result<Vec<_>>>();
    let before = addresses()?;
    for isp in [Isp::A, Isp::B] {
        ensure!(before.contains(&isp.address().into()), "nobody took {}: {before:?}", isp.name());
    }
    let pinned = pins(&gateway)?;
    assert_eq!(pinned.len(), phones.len());
    // Who is new takes the first uplink from now on; who is known stays.
    gateway.terminate()?;
    gateway.restart(Some(POLICY_TWO_UPLINKS))?;
    assert_eq!(addresses()?, before, "after a restart");
    gateway.kill()?;
    gateway.restart(None)?;
    assert_eq!(addresses()?, before, "after a crash");
    reboot(&lab, &mut gateway, |_| {})?;
    assert_eq!(pins(&gateway)?, pinned, "after a boot, before anybody sends");
    assert_eq!(addresses()?, before, "after a boot");
    gateway.expect_refused(&[])
}

#[test]
fn a_pin_is_written_down_while_the_daemon_runs() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    public(&lab.lan.udp((CLIENT, 5060))?)?;
    within(Duration::from_secs(40), "the pin to be written down", || {
        let saved = fs::read_to_string(file(&lab))?;
        ensure!(saved.contains(&CLIENT.to_string()), "{saved}");
        Ok(())
    })?;
    // The power fails.
    gateway.kill()?;
    fs::remove_dir_all(lab.bpffs().join("thulium"))?;
    gateway.restart(None)?;
    let listed = listed(&gateway, CLIENT)?.context("not listed")?;
    assert_eq!((&listed["pin"]["uplink"], &listed["pin"]["why"]), (&"isp".into(), &"first".into()));
    assert_eq!(listed["sessions"]["used"], 0);
    ensure!(listed["pin"]["idle"].is_u64(), "{listed}");
    Ok(())
}

#[test]
fn pins_that_cannot_be_read_are_told_and_nothing_else_suffers() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    public(&lab.lan.udp((CLIENT, 5060))?)?;
    gateway.terminate()?;
    fs::write(file(&lab), "{\"version\": 1, \"pins\"")?;
    fs::remove_dir_all(lab.bpffs().join("thulium"))?;
    gateway.restart(None)?;
    assert_eq!(listed(&gateway, CLIENT)?, None);
    let status = gateway.ctl("status")?;
    ensure!(status.code == 0 && status.out.contains("the clients' pins of an earlier run are lost"), "{status:?}");
    public(&lab.lan.udp((CLIENT, 5061))?).map(drop)
}

#[test]
fn a_client_is_released_at_once_without_sessions_and_only_on_demand_with_some() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5060))?;
    public(&phone)?;
    let line = format!("clients --release {CLIENT}");
    let refused = gateway.ctl(&line)?;
    assert_eq!(refused.code, 1);
    assert_eq!(refused.out.lines().next(), Some("192.168.20.10 stays with isp: it has 1 session"));
    ensure!(refused.out.contains("--now"), "{refused:?}");
    public(&phone)?;
    // Also with nobody but the kernel to do it.
    gateway.kill()?;
    let released = gateway.ctl(&format!("{line} --now --json"))?;
    assert_eq!(released.code, 0);
    assert_eq!(released.json()?["released"][0], serde_json::json!({"client": CLIENT, "uplink": "isp", "ended": 1}));
    assert_eq!(gateway.json("flows")?["sessions"].as_array().map(Vec::len), Some(0));
    assert_eq!(gateway.ctl(&line)?.code, 1, "it is pinned to none any more");
    public(&phone).context("its next packet opens another session")?;
    gateway.restart(None)?;
    reboot(&lab, &mut gateway, |_| {})?;
    let released = gateway.ctl(&line)?;
    assert_eq!((released.code, released.out.lines().next()), (0, Some("192.168.20.10 is released from isp")));
    assert_eq!(listed(&gateway, CLIENT)?, None);
    let all = gateway.ctl("clients --release all")?;
    assert_eq!((all.code, all.out.as_str()), (0, "No client is pinned to an uplink.\n"));
    for (wrong, told) in [("2001:db8::1", "prefix"), ("everybody", "`all`")] {
        let ran = gateway.ctl(&format!("clients --release {wrong}"))?;
        ensure!(ran.code == 2 && ran.err.contains(told), "{ran:?}");
    }
    Ok(())
}

#[test]
fn a_client_that_was_idle_for_too_long_is_forgotten() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    for host in [10, 11, 12] {
        public(&lab.lan.udp((client(host), 5060))?)?;
    }
    let now = seconds_since_1970()?;
    let half_day = 12 * 3600;
    // The machine was off, longer than a pin holds for one of them; that of another comes to its end soon.
    reboot(&lab, &mut gateway, |pins| {
        for host in [11, 12] {
            // Pinned before it was idle, also where the kernel's clock goes back that far.
            pins[client(host).to_string()]["since"] = (now - half_day - 120).into();
        }
        pins[client(11).to_string()]["idle"] = (now - half_day - 60).into();
        pins[client(12).to_string()]["idle"] = (now - half_day + 10).into();
    })?;
    assert_eq!(listed(&gateway, client(11))?, None);
    let idle = listed(&gateway, client(12))?.context("it is not over yet")?["pin"]["idle"].as_u64();
    ensure!(idle.is_some_and(|idle| idle >= half_day - 10), "idle for {idle:?}");
    within(Duration::from_secs(30), "the other one to be forgotten", || {
        ensure!(listed(&gateway, client(12))?.is_none(), "it is still there");
        Ok(())
    })?;
    ensure!(listed(&gateway, CLIENT)?.is_some(), "who was idle for a moment stays");
    Ok(())
}

#[test]
fn who_is_released_in_mid_call_moves_with_its_next_packet() -> Result<()> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    let gateway = lab.start(POLICY_TWO_UPLINKS)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5060))?;
    assert_eq!(public(&phone)?, Isp::A.address());
    lab.cut(Isp::A)?;
    eventually("the call to go on by the other uplink", || {
        ensure!(public(&phone)? == Isp::B.address(), "not yet");
        Ok(())
    })?;
    let pin = listed(&gateway, CLIENT)?.context("not listed")?["pin"].clone();
    assert_eq!((&pin["uplink"], &pin["why"]), (&"isp-b".into(), &"moved".into()), "{pin}");
    let text = gateway.ctl("uplinks")?.out;
    ensure!(text.contains("isp-a on wan0: LOST") && text.contains("1 moved away"), "{text}");
    let flows = gateway.json("flows")?;
    assert_eq!(flows["sessions"][0]["uplink"], "isp-b");
    lab.restore(Isp::A)?;
    within(Duration::from_secs(30), "the first uplink to be up again", || {
        let uplinks = gateway.json("uplinks")?;
        ensure!(uplinks["uplinks"][0]["state"] == "up", "{uplinks}");
        Ok(())
    })?;
    assert_eq!(public(&phone)?, Isp::B.address(), "nobody moves in mid-call by itself");
    let ran = gateway.ctl(&format!("clients --release {CLIENT} --now"))?;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(public(&phone)?, Isp::A.address());
    let pin = listed(&gateway, CLIENT)?.context("not listed")?["pin"].clone();
    assert_eq!((&pin["uplink"], &pin["why"]), (&"isp-a".into(), &"first".into()), "{pin}");
    Ok(())
}

#[test]
fn uplinks_are_shown_with_and_without_a_daemon() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5060))?;
    for _ in 0..3 {
        public(&phone)?;
    }
    let check = |uplinks: &Value, watched: bool| -> Result<()> {
        let uplink = &uplinks["uplinks"][0];
        assert_eq!(
            (&uplink["name"], &uplink["interface"], &uplink["link"]),
            (&"isp".into(), &"wan0".into(), &"up".into())
        );
        let (state, last_known) = if watched { ("up".into(), Value::Null) } else { (Value::Null, "up".into()) };
        assert_eq!((&uplink["state"], &uplink["last_known"]), (&state, &last_known));
        assert_eq!((&uplink["address"], &uplinks["watched"]), (&"198.51.100.1".into(), &watched.into()));
        assert_eq!(uplink["clients"], serde_json::json!({"pinned": 1, "with_sessions": 1}));
        assert_eq!(
            (&uplink["sessions"], &uplink["out"]["packets"], &uplink["in"]["packets"]),
            (&1.into(), &3.into(), &3.into())
        );
        Ok(())
    };
    check(&gateway.json("uplinks")?, true)?;
    gateway.kill()?;
    let uplinks = gateway.json("uplinks")?;
    check(&uplinks, false)?;
    ensure!(uplinks["advice"][0].as_str().is_some_and(|advice| advice.contains("no daemon runs")), "{uplinks}");
    let status = gateway.ctl("status")?.out;
    ensure!(status.contains("isp on wan0: 198.51.100.1"), "{status}");
    lab.gw.ip("link delete wan0")?;
    let text = gateway.ctl("uplinks")?.out;
    ensure!(text.contains("isp on wan0: last known: up; now its interface is gone"), "{text}");
    Ok(())
}
