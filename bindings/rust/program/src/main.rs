//! The program `epode`; everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    epode_program::run()
}
