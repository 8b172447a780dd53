//! Receipts: a file for every transfer that has arrived.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ordain::prelude::*;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::domain::TransferCompleted;

/// Keeps the names of receipts apart from other ids made of texts.
const NAMESPACE: Uuid = Uuid::from_u128(0x6261_6e6b_0064_4179_8000_7265_6365_6970);

/// Writes a file for every transfer that has arrived, named after the transfer.
///
/// The same event again writes the same file again, which is no harm. A file that is there is whole.
#[derive(Debug, EventHandler)]
#[event_handler(name = "receipts", events(TransferCompleted))]
pub struct Receipts {
    directory: PathBuf,
}

impl Receipts {
    /// Receipts in this directory, which is made if it is missing.
    pub fn to(directory: PathBuf) -> Self {
        Self { directory }
    }
}

impl Handle<TransferCompleted> for Receipts {
    async fn handle(
        &self,
        event: &TransferCompleted,
        context: &EventContext,
    ) -> Result<(), BoxError> {
        let receipt = json!({
            "transfer": context.id(),
            "from": event.from,
            "to": event.to,
            "amount": event.amount,
            "completed_at": context.recorded_at().format(&Rfc3339)?,
        });
        let text = format!("{receipt:#}\n");
        let name = file_name(context.id());
        // Two processes may be at it, if one was taken for dead.
        let draft = format!(".{name}.{}", Uuid::now_v7());
        let directory = self.directory.clone();
        let written = move || write(&directory, &draft, &name, &text);
        Ok(tokio::task::spawn_blocking(written).await??)
    }
}

fn write(directory: &Path, draft: &str, name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let draft = directory.join(draft);
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, directory.join(format!("{name}.json")))
}

/// The id itself, if it is a file name everywhere; one made of it otherwise.
fn file_name(transfer: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match transfer.len() <= 100 && transfer.bytes().all(is_plain) {
        true => transfer.to_owned(),
        false => Uuid::new_v5(&NAMESPACE, transfer.as_bytes()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_stays_in_its_directory() {
        assert_eq!(file_name("T-17"), "T-17");
        for odd in ["../T", "a/b", ".", "", "T 1", "T\u{e9}"] {
            let name = file_name(odd);
            assert!(odd.is_empty() || Uuid::parse_str(&name).is_ok(), "{name}");
        }
    }
}
