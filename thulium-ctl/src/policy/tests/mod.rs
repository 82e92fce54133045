//! What an admin sees: errors, meanings, and that nothing hostile gets through.

mod examples;
mod hostile;
mod meaning;
mod uplinks;
mod wrong;

use super::{Policy, parse};

const SMALLEST: &str = "system: acme\nlan: {interfaces: [eth1]}\nuplinks: [{interface: eth0}]\n";

/// The policy in `text`, which must be right.
fn right(text: &str) -> Policy {
    parse("policy.yaml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors of `text`, which must be wrong.
fn wrong(text: impl AsRef<[u8]>) -> String {
    parse("policy.yaml", text.as_ref()).expect_err("an error").to_string()
}
