//! Reads a lake as a bulk loader would: manifests first, then the files they name. Knows the file
//! contract only, nothing of the program that wrote it.
//!
//! [`verify`] proves conservation; [`manifest`] and [`table`] are its eyes.

pub(crate) mod manifest;
pub(crate) mod table;
pub(crate) mod verify;
