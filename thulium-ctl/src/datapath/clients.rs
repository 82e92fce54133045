//! What user space does to clients and their sessions. Where the datapath may be changing them at the same time, a program of the
//! kernel does it (see [`thulium_ebpf::abi::Unpin`]); these are pinned, so that a command needs no daemon.

use std::{fs, io, net::Ipv4Addr, path::Path};

use anyhow::Context;
use aya::{
    Ebpf, Pod,
    maps::MapError,
    programs::{SchedClassifier, TestRun, TestRunOptions},
};
use nix::errno::Errno;
use thulium_ebpf::abi::{Address4, Client, ClientKey, EndSession, Forget, OrderOutcome, Unpin, order_frame};

use super::{pins::Pins, tables::Tables};

const UNPIN: &str = "unpin";
const FORGET: &str = "forget";
const END_SESSION: &str = "end_session";

/// `BPF_NOEXIST` of `linux/bpf.h`.
const NO_EXIST: u64 = 1;

/// Pins the programs that carry out orders, in place of an earlier run's.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn pin_programs(ebpf: &mut Ebpf, pins: &Pins) -> anyhow::Result<()> {
    for name in [UNPIN, FORGET, END_SESSION] {
        let path = pins.program(name);
        let program: &mut SchedClassifier =
            ebpf.program_mut(name).with_context(|| format!("there is no program `{name}`"))?.try_into()?;
        remove(&path)
            .and_then(|()| program.pin(&path).map_err(io::Error::other))
            .with_context(|| format!("cannot pin a program at {}", path.display()))?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The programs that carry out orders. They are in the kernel whether or not a daemon runs.
pub struct Orders {
    unpin: SchedClassifier,
    forget: SchedClassifier,
    end_session: SchedClassifier,
}

impl Orders {
    /// Those of an instance.
    ///
    /// # Errors
    /// If they are not there.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let open = |name| {
            let path = pins.program(name);
            SchedClassifier::from_pin(&path)
                .with_context(|| format!("cannot open the pinned program {}", path.display()))
        };
        Ok(Self { unpin: open(UNPIN)?, forget: open(FORGET)?, end_session: open(END_SESSION)? })
    }

    /// Pins a client to no uplink; one that has sessions only if that is wanted.
    ///
    /// # Errors
    /// If the kernel does not run the program; so for all of these.
    pub fn unpin(&self, client: Ipv4Addr, even_in_use: bool) -> anyhow::Result<OrderOutcome> {
        run(&self.unpin, &Unpin { client: key(client), even_in_use: u32::from(even_in_use) })
    }

    /// Removes a client that has had neither sessions nor ports since it was looked at.
    pub fn forget(&self, order: &Forget) -> anyhow::Result<OrderOutcome> {
        run(&self.forget, order)
    }

    /// Ends a session.
    pub fn end_session(&self, order: &EndSession) -> anyhow::Result<OrderOutcome> {
        run(&self.end_session, order)
    }
}

fn run<T: Pod>(program: &SchedClassifier, order: &T) -> anyhow::Result<OrderOutcome> {
    let frame = order_frame(order);
    let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::default() };
    let done = program.test_run(options).context("the kernel does not run a program")?;
    Ok(OrderOutcome::from_number(done.return_value))
}

fn key(client: Ipv4Addr) -> ClientKey<Address4> {
    ClientKey { address: client.into() }
}

impl Tables {
    /// Enters a client that is not there yet. False if it is.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn enter_client(&mut self, address: Ipv4Addr, client: &Client) -> anyhow::Result<bool> {
        match self.shares4.insert(key(address), client, NO_EXIST) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(Errno::EEXIST as i32) => {
                Ok(false)
            }
            Err(error) => Err(error).context("a client's pin cannot be entered"),
        }
    }
}
