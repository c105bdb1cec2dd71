//! The door of the program; everything is behind [`divisord::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    divisord::cli::main(std::env::args_os())
}
