//! What goes up: each row is a packet, or a state, that differs by one thing from what takes the short way.

use super::*;
