//! SIP phones and their server, both by sipp, with RTP both ways.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{echo::Echo, tls::noise};
use crate::lab::{Lab, Process, patience};

/// Where the server listens for RTP.
pub const RTP_PORT: u16 = 16_000;

/// A SIP server that answers every call and sends the RTP that it gets back.
pub struct SipServer {
    _process: Process,
    // sipp would do this, too, but loses packets when it has to wait for a processor: its socket has little room.
    _media: Echo,
}

impl SipServer {
    /// Starts it in the internet, and waits until it listens.
    ///
    /// # Errors
    /// When `sipp` is not installed or does not start.
    pub fn new(lab: &Lab, address: SocketAddrV4) -> Result<Self> {
        let own = address.ip().to_string();
        let media = Echo::verbatim(&lab.internet, (*address.ip(), RTP_PORT).into())?;
        fs::write(lab.dir().join("answer.xml"), include_str!("answer.xml"))?;
        let mut sipp = lab.internet.command("sipp");
        sipp.args(["-sf", "answer.xml", "-i", &own, "-p", &address.port().to_string(), "-nostdin"])
            .args(["-key", "rtp_port", &RTP_PORT.to_string()])
            .env("TERM", "dumb")
            .current_dir(lab.dir());
        let mut process = Process::spawn(&mut sipp, &lab.dir().join("sipp-server.log"))?;
        process.wait_listening("udp", address.port())?;
        Ok(Self { _process: process, _media: media })
    }
}

/// A phone in the LAN that makes calls.
pub struct SipCall {
    process: Process,
}

impl SipCall {
    /// Starts `calls` calls of the phone with the address `phone`, one after the other, each with two seconds of speech.
    ///
    /// # Errors
    /// When `sipp` is not installed or does not start.
    pub fn new(lab: &Lab, phone: Ipv4Addr, server: SocketAddrV4, calls: u32) -> Result<Self> {
        Self::start(lab, phone, server, calls, Duration::from_secs(2))
    }

    /// Starts one call with speech for `length`.
    ///
    /// # Errors
    /// When `sipp` is not installed or does not start.
    pub fn lasting(lab: &Lab, phone: Ipv4Addr, server: SocketAddrV4, length: Duration) -> Result<Self> {
        Self::start(lab, phone, server, 1, length)
    }

    fn start(lab: &Lab, phone: Ipv4Addr, server: SocketAddrV4, calls: u32, length: Duration) -> Result<Self> {
        let folder = lab.dir().join(format!("phone-{phone}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("call.xml"), include_str!("call.xml"))?;
        fs::write(folder.join("speech.raw"), noise(16_000))?;
        let phone = phone.to_string();
        let mut sipp = lab.lan.command("sipp");
        sipp.args([&server.to_string(), "-sf", "call.xml", "-i", &phone, "-p", "5060", "-mi", &phone, "-nostdin"])
            .args(["-m", &calls.to_string(), "-l", "1", "-d", &length.as_millis().to_string(), "-timeout_error"])
            .args(["-timeout", &format!("{}s", patience(Duration::from_secs(30)).as_secs())])
            .env("TERM", "dumb")
            .current_dir(&folder);
        Ok(Self { process: Process::spawn(&mut sipp, &folder.join("sipp.log"))? })
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
