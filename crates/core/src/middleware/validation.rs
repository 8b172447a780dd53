//! Refusing what is wrong on its own.

use async_trait::async_trait;

use super::{Halt, Middleware, Next, Outcome, Request};

/// Asks every command to [`validate`](crate::Command::validate) itself, before its aggregate is
/// loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Validation;

#[async_trait]
impl Middleware for Validation {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        match request.validate() {
            Ok(()) => next.run(request).await,
            Err(invalid) => Err(Halt::invalid(invalid)),
        }
    }
}
