//! The `keelrow` program.

use std::ffi::c_long;
use std::process::ExitCode;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;

/// Many small, short-lived buffers on several threads: measured faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long free memory is kept before the system has it back, in milliseconds: longer than the time
/// from one batch to the next under load. The allocator's own second gives a batch's memory back
/// before the next one begins, and the system clears it page by page: a third of a loader's time.
const KEPT_MS: c_long = 120_000;

/// `mi_option_purge_delay` of the allocator's third version; the bindings name the older options.
const PURGE_DELAY: mi_option_t = 15;

fn main() -> ExitCode {
    keep_memory();
    keelrow::cli::main()
}

/// Has free memory kept for the next batch, unless the environment says otherwise
/// (`MIMALLOC_PURGE_DELAY`).
#[expect(unsafe_code, reason = "the allocator's options are a C function")]
fn keep_memory() {
    // SAFETY: sets a number; no other thread runs yet.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_MS) }
}
