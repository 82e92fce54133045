//! `thulium-ctl`: see the library's documentation for the layout.

use std::process::ExitCode;

fn main() -> ExitCode {
    thulium_ctl::command::main()
}
