//! One file a verb.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod demo;
pub(crate) mod package;
pub(crate) mod setup;
pub(crate) mod test;
