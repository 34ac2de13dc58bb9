//! Reads a lake as a bulk loader would: manifests first, then the files they name. Knows the file
//! contract only, nothing of the program that wrote it.
//!
//! [`verify`] proves conservation, [`places`] knows which table each event belongs to; [`manifest`] and
//! [`table`] are their eyes.

pub(crate) mod manifest;
mod places;
pub(crate) mod table;
pub(crate) mod verify;
