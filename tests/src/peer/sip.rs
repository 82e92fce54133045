//! SIP phones and their server, both by sipp, with RTP both ways.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Result, ensure};

use super::tls::noise;
use crate::lab::{Lab, Process};

/// Where the server listens for RTP.
pub const RTP_PORT: u16 = 16_000;

/// A SIP server that answers every call and sends the RTP that it gets back.
pub struct SipServer {
    _process: Process,
}

impl SipServer {
    /// Starts it in the internet, and waits until it listens.
    ///
    /// # Errors
    /// When `sipp` is not installed or does not start.
    pub fn new(lab: &Lab, address: SocketAddrV4) -> Result<Self> {
        let own = address.ip().to_string();
        let mut sipp = lab.internet.command("sipp");
        sipp.args(["-sn", "uas", "-i", &own, "-p", &address.port().to_string(), "-nostdin", "-rtp_echo"])
            .args(["-mi", &own, "-mp", &RTP_PORT.to_string()])
            .env("TERM", "dumb")
            .current_dir(lab.dir());
        let mut process = Process::spawn(&mut sipp, &lab.dir().join("sipp-server.log"))?;
        process.wait_listening("udp", address.port())?;
        Ok(Self { _process: process })
    }
}

/// A phone in the LAN that calls several times.
pub struct SipCall {
    process: Process,
}

impl SipCall {
    /// Starts `calls` calls, one after the other, each with two seconds of speech.
    ///
    /// # Errors
    /// When `sipp` is not installed or does not start.
    pub fn new(lab: &Lab, phone: Ipv4Addr, server: SocketAddrV4, calls: u32) -> Result<Self> {
        fs::write(lab.dir().join("call.xml"), include_str!("call.xml"))?;
        fs::write(lab.dir().join("speech.raw"), noise(16_000))?;
        let phone = phone.to_string();
        let mut sipp = lab.lan.command("sipp");
        sipp.args([&server.to_string(), "-sf", "call.xml", "-i", &phone, "-p", "5060", "-mi", &phone, "-nostdin"])
            .args(["-m", &calls.to_string(), "-l", "1", "-timeout", "30s", "-timeout_error"])
            .env("TERM", "dumb")
            .current_dir(lab.dir());
        Ok(Self { process: Process::spawn(&mut sipp, &lab.dir().join("sipp-phone.log"))? })
    }

    /// Waits until all calls are over.
    ///
    /// # Errors
    /// When a call failed.
    pub fn finish(mut self) -> Result<()> {
        let status = self.process.wait(Duration::from_secs(40))?;
        ensure!(status.success(), "sipp ended with {status}:\n{}", self.process.log());
        Ok(())
    }
}
