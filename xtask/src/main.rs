//! Setup, build, test, demo and package.

fn main() {}
