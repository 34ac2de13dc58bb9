//! Canaries: personal values that exist nowhere else, put into every place a client can write to,
//! and searched for in everything a server leaves behind.
//!
//! [`value`] makes them, [`place`] puts them into requests, [`search`] looks for them.

pub(crate) mod place;
pub(crate) mod search;
pub(crate) mod value;
