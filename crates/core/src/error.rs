//! Errors that belong to no one part.

/// An error of the user's, or of a library below.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
