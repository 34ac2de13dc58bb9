//! The `keelrow` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Many small, short-lived buffers on several threads: measured faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    keelrow::cli::main()
}
