//! Programs of others at the interfaces.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, Namespace, POLICY, THULIUM, Verb},
    peer::{Echo, ask},
};

use super::{Doctor, fix, named_and_fixed};

/// A program that lets everything pass, of the type and for the hook of these numbers of `linux/bpf.h`.
pub(crate) struct Foreign {
    kind: u32,
    attach: u32,
    /// What it returns.
    verdict: i32,
}

/// `BPF_PROG_TYPE_SCHED_CLS` at `BPF_TCX_INGRESS`; `TC_ACT_OK` ends the line of programs.
const TCX: Foreign = Foreign { kind: 3, attach: 46, verdict: 0 };
/// `BPF_PROG_TYPE_XDP` at `BPF_XDP`; `XDP_PASS`.
pub(crate) const XDP: Foreign = Foreign { kind: 6, attach: 37, verdict: 2 };

impl Foreign {
    /// Loads it and attaches it in front of all others, for as long as the link is held.
    pub(crate) fn attach(&self, namespace: &Namespace, interface: &str) -> Result<OwnedFd> {
        /// Place of the other program, for which none stands: in front of all.
        const BEFORE: u32 = 1 << 3;
        namespace.run(|| {
            let index = nix::net::if_::if_nametoindex(interface)?;
            // r0 = verdict; exit
            let code = [0xb7_u64 | u64::from(self.verdict.cast_unsigned()) << 32, 0x95];
            let license = c"MIT";
            let mut load = Attributes::default();
            load.words[0] = self.kind;
            load.words[1] = 2;
            load.pointer(2, code.as_ptr().cast());
            load.pointer(4, license.as_ptr().cast());
            // The name, at byte 48; the attach type that the program is for, at byte 68.
            load.words[12] = u32::from_le_bytes(*b"fore");
            load.words[13] = u32::from_le_bytes(*b"ign\0");
            load.words[17] = self.attach;
            let program = load.call(5)?;
            let mut link = Attributes::default();
            link.words[0] = std::os::fd::AsRawFd::as_raw_fd(&program).cast_unsigned();
            link.words[1] = index;
            link.words[2] = self.attach;
            link.words[3] = if self.attach == TCX.attach { BEFORE } else { 0 };
            Ok(link.call(28)?)
        })?
    }
}

/// `union bpf_attr` as words.
#[derive(Default)]
#[repr(C, align(8))]
struct Attributes {
    words: [u32; 32],
}

impl Attributes {
    fn pointer(&mut self, word: usize, to: *const u8) {
        let address = to as u64;
        self.words[word] = address as u32;
        self.words[word + 1] = (address >> 32) as u32;
    }

    /// The system call `bpf` with this command.
    fn call(&self, command: u32) -> io::Result<OwnedFd> {
        // SAFETY: what the words point to lives in the caller, and the kernel reads no more than the size.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.words.as_ptr(), size_of::<Self>()) };
        match i32::try_from(result) {
            // SAFETY: a descriptor that the kernel has just made.
            Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[test]
fn a_tcx_program_in_front_of_ours() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[(THULIUM, 16_000).into()])?;
    let phone = lab.lan.udp((CLIENT, 0))?;
    phone.set_read_timeout(Some(std::time::Duration::from_millis(500)))?;
    ask(&phone, (THULIUM, 16_000).into(), b"before")?;
    let _link = TCX.attach(&lab.gw, "wan0")?;
    ensure!(ask(&phone, (THULIUM, 16_000).into(), b"replies pass by the datapath").is_err(), "the trouble is real");
    named_and_fixed(&lab, "tc-program", "fail", "wan0 ingress: the TCX program foreign")?;
    ask(&phone, (THULIUM, 16_000).into(), b"the command helps").map(drop)
}

#[test]
fn an_xdp_program() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    let _link = XDP.attach(&lab.gw, "lan0")?;
    named_and_fixed(&lab, "xdp-program", "fail", "lan0: the XDP program foreign")
}

#[test]
fn our_own_programs_are_none_of_others() -> Result<()> {
    for more in ["datapath: { xdp: native }\n", "datapath: { tc: clsact }\n"] {
        let lab = Lab::new()?;
        let _gateway = lab.start(&format!("{POLICY}{more}"))?;
        let doctor = Doctor::ask(&lab)?;
        assert!(doctor.has("xdp-program", "pass", "no XDP program of others"), "{}", doctor.ran.out);
        assert!(doctor.has("tc-program", "pass", "no TC program of others"), "{}", doctor.ran.out);
        assert_eq!(doctor.with("fail"), [""; 0]);
    }
    Ok(())
}

#[test]
fn another_instance_on_the_same_interface() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let file = lab.dir().join("asked.yaml");
    std::fs::write(&file, POLICY)?;
    let ask = || {
        let mut verb = Verb::new(&lab, "doctor --json --policy")?;
        verb.command().arg(&file).env("THULIUM_INSTANCE", format!("{}-second", lab.id()));
        Doctor::of(verb)
    };
    let doctor = ask()?;
    let finding = doctor.finding("tc-program", "fail", "lan0 ingress: the TCX program lan_ingress")?;
    let command = format!("thulium-ctl --instance {} down", lab.id());
    assert_eq!(finding["fix"], command, "{finding}");
    gateway.down()?;
    assert_eq!(ask()?.with("fail"), [""; 0]);
    Ok(())
}

#[test]
fn filters_of_others() -> Result<()> {
    let lab = Lab::new()?;
    let filter = |hook: &str| {
        lab.gw.output(
            "tc",
            &format!(
                "filter add dev wan0 {hook} pref 7 protocol ip u32 match u32 0 0 action mirred egress mirror dev lo"
            ),
        )
    };
    lab.gw.output("tc", "qdisc add dev wan0 clsact")?;
    filter("ingress")?;
    filter("egress")?;
    let _gateway = lab.start(POLICY)?;
    let doctor = Doctor::ask(&lab)?;
    assert!(doctor.has("tc-program", "pass", "behind ours"), "{}", doctor.ran.out);
    let finding = doctor.finding("tc-program", "warn", "wan0 egress: the filter u32 of priority 7")?;
    fix(&lab, finding)?;
    let after = Doctor::ask(&lab)?;
    assert_eq!(after.with("warn"), [""; 0]);
    Ok(())
}

#[test]
fn a_program_of_ours_that_was_taken_off() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(&format!("{POLICY}datapath: {{ tc: clsact }}\n"))?;
    lab.gw.output("tc", "filter del dev lan0 ingress")?;
    let doctor = Doctor::ask(&lab)?;
    assert!(doctor.has("tc-program", "fail", "lan0 ingress: our program is not there"), "{}", doctor.ran.out);
    gateway.terminate()?;
    gateway.restart(None)?;
    let doctor = Doctor::ask(&lab)?;
    assert_eq!(doctor.with("fail"), [""; 0]);
    Ok(())
}
