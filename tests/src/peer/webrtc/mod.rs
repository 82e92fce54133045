//! A WebRTC call: Chromium without a screen as the agent's browser, aiortc as the server.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::tls::{NAME, make_certificate};
use crate::lab::{Lab, Process, within};

/// How long a browser may take to start, to call and to talk for a while, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Debian's own interpreter: another one would not have Debian's modules.
const PYTHON: &str = "/usr/bin/python3";

/// What lets Chromium run as root, without screen, sound card or user, and talk to nobody but the page's server.
const OPTIONS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--ignore-certificate-errors",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
];

/// A call from a browser in the LAN, whose microphone beeps, to a server in the internet, which hums.
///
/// The browser opens the server's page by HTTPS; the page asks a STUN server for its address and calls. Dropping it
/// ends both programs.
pub struct WebRtcCall {
    browser: Process,
    server: Process,
    report: PathBuf,
}

impl WebRtcCall {
    /// Starts the server on TCP port 443 and UDP ports 16000–20000 of `server`, and then the browser. `stun` is the
    /// address of `stun.l.google.com`.
    ///
    /// # Errors
    /// When Chromium, aiortc or aiohttp is not installed, or the server does not start.
    pub fn new(lab: &Lab, server: Ipv4Addr, stun: Ipv4Addr) -> Result<Self> {
        let folder = lab.dir().join("webrtc");
        make_certificate(lab, &folder)?;
        let report = folder.join("report.json");
        Ok(Self {
            server: start_server(lab, &folder, server)?,
            browser: start_browser(lab, &folder, server, stun)?,
            report,
        })
    }

    /// Waits until both ends have received `packets` packets, with sound in them; returns what they saw of the call:
    /// the report of `server.py`.
    ///
    /// # Errors
    /// When they have not within two minutes, or the browser ends; the error has what they saw, and their logs.
    pub fn wait_for_sound(&mut self, packets: u64) -> Result<Value> {
        let heard = within(PATIENCE, "sound at both ends of the call", || {
            if let Some(status) = self.browser.ended()? {
                return Ok(Err(anyhow!("the browser ended ({status})")));
            }
            let report = fs::read(&self.report).context("the browser has not called")?;
            let call: Value = serde_json::from_slice(&report)?;
            let received = ["browser", "server"].map(|end| call[end]["packets"].as_u64());
            let sound =
                call["server"]["loudest"].as_u64() > Some(1000) && call["browser"]["energy"].as_f64() > Some(0.01);
            ensure!(received.iter().all(|received| *received >= Some(packets)) && sound, "seen so far: {call:#}");
            Ok(Ok(call))
        });
        let logs = || format!("the server's log:\n{}\nthe browser's:\n{}", self.server.log(), self.browser.log());
        heard.and_then(|heard| heard).with_context(logs)
    }
}

fn start_server(lab: &Lab, folder: &Path, address: Ipv4Addr) -> Result<Process> {
    fs::write(folder.join("server.py"), include_str!("server.py"))?;
    fs::write(folder.join("page.html"), include_str!("page.html"))?;
    // aiortc takes the ports that the kernel gives it.
    lab.internet.sysctl("net/ipv4/ip_local_port_range", "16000 20000")?;
    let mut python = lab.internet.command(PYTHON);
    python
        .args(["server.py", &address.to_string(), "cert.pem", "key.pem", "page.html", "report.json"])
        .current_dir(folder);
    let mut server = Process::spawn(&mut python, &folder.join("server.log"))?;
    server.wait_listening("tcp", 443)?;
    Ok(server)
}

fn start_browser(lab: &Lab, folder: &Path, server: Ipv4Addr, stun: Ipv4Addr) -> Result<Process> {
    // WebRTC looks names up with the dot of the root. All others are unknown: the browser has nowhere else to go.
    let names = format!("MAP {NAME} {server}, MAP stun.l.google.com. {stun}, MAP * ~NOTFOUND");
    let mut chromium = lab.lan.command("chromium");
    chromium
        .args(OPTIONS)
        .arg(format!("--host-resolver-rules={names}"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("https://{NAME}/"))
        // Its files go with the lab, and no session of somebody who is logged in is asked for anything.
        .envs([("HOME", folder), ("TMPDIR", folder), ("XDG_RUNTIME_DIR", folder)])
        .env("DBUS_SESSION_BUS_ADDRESS", "disabled:")
        .current_dir(folder);
    Process::spawn(&mut chromium, &folder.join("chromium.log"))
}
