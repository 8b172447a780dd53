//! What users of process managers are promised, over any store.

pub mod bounding;
pub mod chaos;
pub mod issuing;
pub mod keeping;
pub mod resetting;
pub mod routing;
pub mod scheduling;
mod support;
pub mod surviving;
pub mod timing;
pub mod transferring;
