//! The policy: YAML → tree → model → image.
//!
//! * [`Source`]: a file as text and as a tree in which every value knows its place ([`saphyr_parser`] reads the YAML).
//! * `read`: tree → [`Policy`], one file a section; `defaults` holds Thulium's values.
//! * [`describe`]: [`Policy`] → words; [`Document`]: [`Policy`] → YAML or JSON, with the defaults written out.
//! * [`image`]: [`Policy`] → what the datapath's maps hold. Pure.
//! * [`Errors`]: all that is wrong with a file, as an admin reads it.

mod defaults;
mod document;
mod error;
pub mod image;
mod interface;
mod meaning;
mod model;
mod read;
mod section;
mod source;
mod tree;

use std::path::Path;

pub use defaults::MARK as DEFAULT_MARK;
pub use document::Document;
pub use error::{Errors, Place, PolicyError};
pub use interface::{check_interfaces, require_interfaces};
pub use meaning::describe;
pub use model::*;
pub use source::{MAX_BYTES, Source};

impl Source {
    /// What the file means.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn policy(&self) -> Result<Policy, Errors> {
        read::policy(self)
    }
}

/// Reads the policy file `path`.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path) -> Result<Policy, Errors> {
    Source::read(path)?.policy()
}

/// The policy in `bytes`; `file_name` names it in errors.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Policy, Errors> {
    Source::from_bytes(file_name, bytes)?.policy()
}

#[cfg(test)]
mod tests;
