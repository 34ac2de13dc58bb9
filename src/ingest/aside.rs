//! Work beside the threads that serve, where it would keep other connections waiting.

use std::panic::resume_unwind;

use super::Refusal;

/// Does `work` on a thread that no connection waits for. A panic of it goes on here, so that whoever
/// asked for it counts it like one of its own.
///
/// # Errors
/// [`Refusal::Internal`] when the threads have ended already.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Refusal::Internal,
    })
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_aside_goes_on_where_the_work_was_asked_for() {
        assert_eq!(aside(|| 1).await, Ok(1));
        let panics = || -> u8 { panic!("as a fault of the program would") };
        assert!(AssertUnwindSafe(aside(panics)).catch_unwind().await.is_err());
    }
}
