//! All detectors over any text, see `keelrow_fuzz::detect`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| keelrow_fuzz::detect(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    keelrow_fuzz::replay(keelrow_fuzz::detect)
}
