# Everything CI checks.
check:
    ./test

# The same without the SDKs and the crash rounds.
quick:
    ./test quick

# Unit and integration tests of one area, quickly built.
t area:
    cargo test {{area}}

# Lints as CI runs them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Licences, duplicate crates, sources and advisories; needs cargo-deny and the network.
deny:
    cargo deny --locked check

demo:
    cargo run --release -- demo

# Fuzzes one of the targets redact, detect and pack with libFuzzer, on stable Rust.
fuzz target *options:
    fuzz/run {{target}} {{options}}
