//! A policy file before it means anything: its bytes, its text, its tree.

use std::{fs::File, io::Read, path::Path};

use super::{
    error::{Errors, Place, Report},
    tree::{self, Node},
};

/// The size that a policy file may have; a large real one has a few kilobytes.
pub const MAX_BYTES: usize = 1 << 20;

/// A policy file that is well-formed YAML.
#[derive(Debug)]
pub struct Source {
    /// The file, as the admin wrote its name.
    pub(super) file: String,
    /// Its text.
    pub(super) text: String,
    /// Its tree.
    pub(super) root: Node,
}

impl Source {
    /// Reads a policy file.
    ///
    /// # Errors
    /// It cannot be read, is too large, is no UTF-8 or no YAML that a policy may consist of.
    pub fn read(path: &Path) -> Result<Self, Errors> {
        let file = path.display().to_string();
        let bytes = read_bounded(path).map_err(|error| Errors::of_file(&file, error.0, error.1))?;
        Self::from_bytes(&file, &bytes)
    }

    /// The policy in `bytes`; `file` names it in errors.
    ///
    /// # Errors
    /// As for [`Source::read`].
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Self, Errors> {
        if bytes.len() > MAX_BYTES {
            let (message, help) = too_large();
            return Err(Errors::of_file(file, message, help));
        }
        let text = decode(bytes).map_err(|place| not_utf8(file, bytes, place))?;
        let mut report = Report::default();
        let root = tree::read(text, &mut report);
        match (root, report.into_errors(file, text)) {
            (Some(root), None) => Ok(Self { file: file.to_owned(), text: text.to_owned(), root }),
            (_, Some(errors)) => Err(errors),
            (None, None) => {
                Err(Errors::of_file(file, "the file is empty", "the smallest policy is:\n".to_owned() + SMALLEST))
            }
        }
    }
}

/// The smallest useful policy, for the help of an error.
pub(super) const SMALLEST: &str =
    "    system: acme\n    lan: { interfaces: [eth1] }\n    uplinks: [{ interface: eth0 }]";

/// What is wrong, and what to do about it.
type Complaint = (String, String);

fn too_large() -> Complaint {
    ("the file is larger than 1 MiB, so it is no policy".to_owned(), "a policy has a few kilobytes".to_owned())
}

/// Reads at most a little more than a policy may have: a device or a pipe that never ends does not matter.
fn read_bounded(path: &Path) -> Result<Vec<u8>, Complaint> {
    let unreadable = |error: std::io::Error| {
        (format!("it cannot be read: {error}"), "check the path and its permissions".to_owned())
    };
    if path.is_dir() {
        return Err(("it is a directory".to_owned(), "name the policy file itself".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The text, without a byte order mark; or the place of the first byte that is no UTF-8.
fn decode(bytes: &[u8]) -> Result<&str, Place> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Place { line, column, length: 1 }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn not_utf8(file: &str, bytes: &[u8], place: Place) -> Errors {
    let mut report = Report::default();
    report.error(place, "a byte that is not UTF-8", "save the file in the encoding UTF-8");
    let text = String::from_utf8_lossy(bytes);
    report
        .into_errors(file, &text)
        .unwrap_or_else(|| Errors::of_file(file, "it is not UTF-8", "save the file in the encoding UTF-8"))
}
