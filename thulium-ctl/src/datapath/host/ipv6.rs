//! Forwarding of IPv6, which the kernel ties to how a host treats router advertisements.

use anyhow::Context;

use super::{HostSettings, proc, read};
use crate::policy::Policy;

/// IPv6 of the whole network namespace; setting it sets every interface's.
const FORWARD_ALL: &str = "net/ipv6/conf/all/forwarding";
/// There if an interface can forward though the namespace does not (Linux 6.17).
const FORCE_ALL: &str = "net/ipv6/conf/all/force_forwarding";

impl HostSettings {
    /// IPv6 is forwarded if the interface and the whole namespace forward; from Linux 6.17 on an interface can do so alone.
    pub(super) fn forward_ipv6(&mut self, policy: &Policy, done: &mut Vec<String>) -> anyhow::Result<()> {
        if !proc(FORWARD_ALL).exists() {
            return Ok(());
        }
        for uplink in &policy.uplinks {
            self.keep_advertisements(&uplink.interface, done)?;
        }
        let forwards = read(FORWARD_ALL)? == "1";
        let uplinks = policy.uplinks.iter().map(|uplink| &uplink.interface);
        for interface in policy.lan.interfaces.iter().chain(uplinks) {
            self.forward_by(interface, "forwarding", done)?;
            if !forwards {
                self.forward_by(interface, "force_forwarding", done)?;
            }
        }
        if !forwards && !proc(FORCE_ALL).exists() {
            self.forward_everywhere(done)?;
        }
        Ok(())
    }

    /// Sets an interface's key, if the kernel has it.
    fn forward_by(&mut self, interface: &str, key: &str, done: &mut Vec<String>) -> anyhow::Result<()> {
        let name = format!("net/ipv6/conf/{interface}/{key}");
        if proc(&name).exists() && read(&name)? == "0" {
            self.change(&name, "0", "1")?;
            done.push(format!("{interface} forwards IPv6 packets ({name})"));
        }
        Ok(())
    }

    /// An interface that forwards takes no router advertisements any more, unless it is told to, and loses the default route
    /// that it has of one.
    fn keep_advertisements(&mut self, interface: &str, done: &mut Vec<String>) -> anyhow::Result<()> {
        let [forwarding, accept] = ["forwarding", "accept_ra"].map(|key| format!("net/ipv6/conf/{interface}/{key}"));
        if proc(&accept).exists() && read(&forwarding)? == "0" && read(&accept)? == "1" {
            self.change(&accept, "1", "2")?;
            done.push(format!("{interface} goes on taking router advertisements while it forwards ({accept})"));
        }
        Ok(())
    }

    /// Lets the whole namespace forward IPv6; the other interfaces keep what they have of router advertisements. Those that
    /// forwarded already are written down, since putting back the whole would end that.
    fn forward_everywhere(&mut self, done: &mut Vec<String>) -> anyhow::Result<()> {
        let interfaces = nix::net::if_::if_nameindex().context("the kernel does not list its interfaces")?;
        for interface in &interfaces {
            let interface = interface.name().to_string_lossy();
            self.keep_advertisements(&interface, done)?;
            let name = format!("net/ipv6/conf/{interface}/forwarding");
            if proc(&name).exists() && read(&name)? == "1" {
                self.change(&name, "1", "1")?;
            }
        }
        self.change(FORWARD_ALL, "0", "1")?;
        done.push(format!("all interfaces forward IPv6 packets: this kernel knows it for all alone ({FORWARD_ALL})"));
        Ok(())
    }
}
