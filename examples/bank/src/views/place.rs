//! Where the tables of the read models are.

use crate::server_url::ServerUrl;

/// Where the tables of the read models are in a PostgreSQL database; elsewhere it does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    schema: String,
    pooled: bool,
}

impl Place {
    /// Beside the store's own tables.
    pub fn beside(url: &ServerUrl) -> Self {
        Self {
            schema: url.option("schema").unwrap_or("ordain").to_owned(),
            pooled: matches!(url.option("pooled"), Some("true" | "1")),
        }
    }

    /// A statement with the schema's name filled in.
    pub(super) fn sql(&self, statement: &str) -> String {
        let quoted = format!("\"{}\"", self.schema.replace('"', "\"\""));
        statement.replace("{schema}", &quoted)
    }

    /// Whether statements may be kept prepared: behind a pooler, the next one may run on another session.
    pub(super) fn keeps_statements(&self) -> bool {
        !self.pooled
    }
}
