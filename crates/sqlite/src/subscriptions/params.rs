//! What statements are given: words, and lists for `json_each`.

use ordain::StoreError;
use ordain::store::{BlockKind, BlockRequest, LeaseKey, SubscriptionKey};
use serde::Serialize;

pub(crate) fn block_kind(kind: BlockKind) -> &'static str {
    match kind {
        BlockKind::DeadLetter => "dead_letter",
        BlockKind::Parked => "parked",
    }
}

pub(crate) fn block_request(request: BlockRequest) -> &'static str {
    match request {
        BlockRequest::Retry => "retry",
        BlockRequest::Discard => "discard",
    }
}

/// Names and versions.
pub(crate) fn keys_json(keys: &[SubscriptionKey]) -> Result<String, StoreError> {
    let keys = keys.iter().map(|key| (&*key.name, key.version));
    json(&keys.collect::<Vec<_>>())
}

/// Names, versions, partitions and epochs.
pub(crate) fn leases_json(leases: &[LeaseKey]) -> Result<String, StoreError> {
    let leases = leases.iter().map(|lease| {
        let key = &lease.subscription;
        (&*key.name, key.version, lease.partition, lease.epoch)
    });
    json(&leases.collect::<Vec<_>>())
}

pub(crate) fn json<T: Serialize + ?Sized>(list: &T) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| StoreError::internal(error.to_string()))
}
