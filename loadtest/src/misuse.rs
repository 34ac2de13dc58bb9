//! Faults of whoever called: a wrong option, profile or file. They end with an exit code of their own, so
//! that a script can tell them from a proof that failed.

/// A wrong input, told in one line.
#[derive(Debug)]
pub(crate) struct Misuse(anyhow::Error);

impl std::fmt::Display for Misuse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:#}", self.0)
    }
}

impl std::error::Error for Misuse {}

/// Says of `fault` that the caller can mend it.
pub(crate) fn misuse(fault: anyhow::Error) -> anyhow::Error {
    Misuse(fault).into()
}

/// Whether the caller can mend `fault`.
pub(crate) fn is_misuse(fault: &anyhow::Error) -> bool {
    fault.chain().any(|cause| cause.is::<Misuse>())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_misuse_is_told_apart_whatever_is_said_around_it() {
        let plain: anyhow::Result<()> = Err(anyhow::anyhow!("rate must be above 0"));
        assert!(!is_misuse(plain.as_ref().unwrap_err()));
        let wrong = plain.map_err(misuse).context("read the profile x").unwrap_err();
        assert!(is_misuse(&wrong));
        assert_eq!(format!("{wrong:#}"), "read the profile x: rate must be above 0");
    }
}
