//! Any bytes as requests of HTTP/1, see `keelrow_fuzz::wire`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| keelrow_fuzz::wire(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    keelrow_fuzz::replay(keelrow_fuzz::wire)
}
