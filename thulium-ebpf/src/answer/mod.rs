//! Telling an end of a refused packet that it was refused. The packet itself becomes the answer: nothing else has room for one.
//!
//! * `header`: the IP header of an answer, one implementation a family ([`Answer`]).
//! * [`reset`]: a TCP connection is over.

mod header;
pub mod reset;

pub use header::Answer;

#[cfg(test)]
mod tests;
