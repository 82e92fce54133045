//! Telling an end of a refused packet that it was refused. The packet itself becomes the answer: nothing else has room for one.
//!
//! * `header`: the IP header of an answer, one implementation a family ([`Answer`]).
//! * [`reset`]: a TCP connection is over.
//! * [`prohibited`]: the policy, or a limit, does not admit a packet.
//! * [`limit`]: how many answers are given.
//! * `unfinished`: checksums that are finished behind us.

mod header;
pub mod limit;
pub mod prohibited;
pub mod reset;
mod unfinished;

pub use header::Answer;

#[cfg(test)]
mod tests;
