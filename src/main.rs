//! The `keelrow` program.

fn main() {}
