//! In which mode of XDP a lab's gateways run, where their policies leave it open: so the same tests see each mode.

use std::{borrow::Cow, env};

use anyhow::{Result, bail};

use super::{Lab, Namespace};

/// The variable that names the mode: `off`, `native`, or nothing for what the policies say.
const VARIABLE: &str = "THULIUM_LAB_XDP";

/// The mode of all labs of this run; none: that of the policies.
///
/// # Errors
/// If the variable has another value.
fn mode() -> Result<Option<&'static str>> {
    match env::var(VARIABLE).as_deref() {
        Err(_) | Ok("") => Ok(None),
        Ok("off") => Ok(Some("off")),
        Ok("native") => Ok(Some("native")),
        Ok(other) => bail!("{VARIABLE} is `off` or `native`, not `{other}`"),
    }
}

/// The policy in the mode of this run, unless it names one itself.
pub(super) fn in_mode(policy: &str) -> Result<Cow<'_, str>> {
    Ok(mode()?.map_or(Cow::Borrowed(policy), |mode| in_this_mode(policy, mode).into()))
}

fn in_this_mode(policy: &str, mode: &str) -> String {
    const SECTION: &str = "datapath: {";
    if policy.contains("xdp:") {
        policy.to_owned()
    } else if policy.contains(SECTION) {
        policy.replace(SECTION, &format!("{SECTION} xdp: {mode},"))
    } else {
        format!("{policy}datapath: {{ xdp: {mode} }}\n")
    }
}

/// Makes a link such that XDP can forward on it, if labs of this run are in that mode: called once it is up, for both of its ends. The
/// lab does so for its own links.
///
/// # Errors
/// If `ethtool` fails, or the mode is none.
pub fn prepare(ends: [(&Namespace, &str); 2]) -> Result<()> {
    if mode()? == Some("native") { ready_for_xdp(&ends) } else { Ok(()) }
}

/// Makes the ends of links such that XDP can forward on them: they take what it sends (a veth does so by NAPI, which GRO switches on),
/// and leave no checksum unfinished.
///
/// # Errors
/// If `ethtool` fails.
pub fn ready_for_xdp(ends: &[(&Namespace, &str)]) -> Result<()> {
    ends.iter().try_for_each(|(namespace, interface)| {
        namespace.output("ethtool", &format!("-K {interface} tx off gro on")).map(drop)
    })
}

impl Lab {
    /// Makes both links of the lab such that XDP can forward on them.
    ///
    /// # Errors
    /// If `ethtool` fails.
    pub fn ready_for_xdp(&self) -> Result<()> {
        ready_for_xdp(&[(&self.lan, "eth0"), (&self.gw, "lan0"), (&self.internet, "eth0"), (&self.gw, "wan0")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_without_a_mode_gets_one() {
        assert_eq!(in_this_mode("version: 1\n", "native"), "version: 1\ndatapath: { xdp: native }\n");
        assert_eq!(in_this_mode("datapath: { tc: clsact }\n", "off"), "datapath: { xdp: off, tc: clsact }\n");
        assert_eq!(in_this_mode("datapath: { xdp: auto }\n", "native"), "datapath: { xdp: auto }\n");
    }
}
