//! Metadata as JSON.

use std::sync::Arc;

use ordain::{Metadata, StoreError};

/// Writes the metadata of one event after the other; those of one command share theirs.
#[derive(Debug, Default)]
pub(crate) struct MetadataWriter {
    last: Option<Arc<Metadata>>,
    json: Vec<u8>,
}

impl MetadataWriter {
    /// The JSON; `None` if there is nothing to write.
    pub(crate) fn write(&mut self, metadata: &Arc<Metadata>) -> Result<Option<&[u8]>, StoreError> {
        let is_last = |last: &Arc<Metadata>| Arc::ptr_eq(last, metadata);
        if !self.last.as_ref().is_some_and(is_last) {
            self.json.clear();
            if !metadata.is_empty() {
                serde_json::to_writer(&mut self.json, &**metadata)
                    .map_err(|error| StoreError::internal(error.to_string()))?;
            }
            self.last = Some(Arc::clone(metadata));
        }
        Ok(Some(self.json.as_slice()).filter(|json| !json.is_empty()))
    }
}
