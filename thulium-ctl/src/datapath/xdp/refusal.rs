//! Why a driver does not take a program: the sentence, and what to do.

use std::io;

use super::facts::Facts;

/// The largest IP packet of ordinary Ethernet: every driver with native XDP takes a program there.
const ORDINARY: u32 = 1500;

/// Why an attachment failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A part of a sentence.
    pub(super) why: String,
    /// What to do, sentences.
    pub(super) remedy: String,
}

/// Explains what the kernel said when a program was to be attached to an interface.
pub(super) fn explain(facts: &Facts, error: &anyhow::Error) -> Refusal {
    let code = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    let Facts { name, driver, mtu, .. } = facts;
    match code.unwrap_or_default() {
        libc::EBUSY | libc::EEXIST => Refusal {
            why: "another XDP program is there".to_owned(),
            remedy: format!("`ip link show {name}` has its id, and `bpftool prog show id …` its name."),
        },
        libc::EINVAL | libc::ERANGE | libc::EOPNOTSUPP | libc::EMSGSIZE if *mtu > ORDINARY => Refusal {
            why: format!(
                "its driver ({driver}) does not support it at an MTU of {mtu}; it may after `ip link set dev {name} mtu {ORDINARY}`"
            ),
            remedy: "A smaller MTU than that of others on the link loses their large packets: change theirs, too."
                .to_owned(),
        },
        libc::EOPNOTSUPP => Refusal {
            why: format!("its driver ({driver}) does not support it"),
            remedy: format!(
                "It may after `ethtool -K {name} lro off`; in a virtual machine, if the host does not join packets for its guest."
            ),
        },
        _ => Refusal {
            why: format!("its driver ({driver}) refuses it: {error:#}"),
            remedy: "The kernel's log may say more (`dmesg`).".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: i32, mtu: u32) -> Refusal {
        let facts = Facts { name: "eth0".to_owned(), driver: "igb".to_owned(), mtu, ..Facts::default() };
        explain(&facts, &anyhow::Error::from(io::Error::from_raw_os_error(code)).context("bpf_link_create"))
    }

    #[test]
    fn a_large_mtu_is_named_with_what_to_do() {
        for code in [libc::EINVAL, libc::ERANGE, libc::EOPNOTSUPP] {
            let Refusal { why, remedy } = explained(code, 9000);
            assert!(why.starts_with("its driver (igb) does not support it at an MTU of 9000;"), "{why}");
            assert!(why.ends_with("`ip link set dev eth0 mtu 1500`") && remedy.contains("theirs"), "{why} {remedy}");
        }
        assert!(!explained(libc::EINVAL, 1500).why.contains("MTU"));
    }

    #[test]
    fn another_program_and_a_driver_without_xdp_are_told_apart() {
        assert_eq!(explained(libc::EBUSY, 9000).why, "another XDP program is there");
        assert_eq!(explained(libc::EOPNOTSUPP, 1500).why, "its driver (igb) does not support it");
        assert!(explained(libc::ENOMEM, 1500).why.starts_with("its driver (igb) refuses it: "));
    }
}
