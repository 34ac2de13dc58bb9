//! Any text as a rule pack, see `keelrow_fuzz::pack`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| keelrow_fuzz::pack(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    keelrow_fuzz::replay(keelrow_fuzz::pack)
}
