//! What goes over the socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{names::HostReport, observe::status::DaemonFacts, uplinks::UplinkReport};

/// Version of the protocol.
pub(super) const VERSION: u32 = 1;

/// What a command wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// [`Reply::Status`].
    Status,
    /// [`Reply::Hosts`].
    Hosts,
    /// [`Reply::Policy`].
    Policy,
    /// [`Reply::Uplinks`].
    Uplinks,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// What the daemon says of itself.
    Status(Box<DaemonFacts>),
    /// The hosts with their names and addresses.
    Hosts(Vec<HostReport>),
    /// The policy in force.
    Policy(PolicyInForce),
    /// The uplinks in the policy's order.
    Uplinks(Vec<UplinkReport>),
    /// The request was not understood or could not be answered: a sentence.
    Error(String),
}

/// The policy in force, whatever has become of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyInForce {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The daemon's process.
    pub process: u32,
    /// The policy itself, as YAML with every default written out.
    pub text: String,
}

/// A line from a command.
#[derive(Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) version: u32,
    pub(super) request: Request,
}

/// A line from the daemon.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) version: u32,
    pub(super) reply: Reply,
}

/// A message as a line.
pub(super) fn line(message: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and lists always serialize; an empty line would be refused by the other side.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The request of a line from a command.
pub(super) fn parse_question(line: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } =
        serde_json::from_slice(line).map_err(|error| format!("the request is no request: {error}"))?;
    if version != VERSION {
        return Err(format!("the request has version {version}; this daemon speaks version {VERSION}"));
    }
    let question: Question =
        serde_json::from_slice(line).map_err(|error| format!("the request is not known: {error}"))?;
    Ok(question.request)
}
