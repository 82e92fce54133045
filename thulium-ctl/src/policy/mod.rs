//! The policy: YAML → document → model → image.

mod model;

pub use model::*;
