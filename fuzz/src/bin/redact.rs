//! The default pack over any event, see `keelrow_fuzz::redact`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| keelrow_fuzz::redact(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    keelrow_fuzz::replay(keelrow_fuzz::redact)
}
