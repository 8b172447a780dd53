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

    /// A statement about a version of the balances, with the schema's name filled in.
    pub(super) fn sql_of(&self, statement: &str, version: u32) -> String {
        self.sql(&of_version(statement, version))
    }

    /// What stands in the schema under this name.
    pub(super) fn name(&self, name: &str) -> String {
        self.sql(&format!("{{schema}}.{name}"))
    }

    /// Whether statements may be kept prepared: behind a pooler, the next one may run on another session.
    pub(super) fn keeps_statements(&self) -> bool {
        !self.pooled
    }
}

/// A statement about a version of the balances.
pub(super) fn of_version(statement: &str, version: u32) -> String {
    statement.replace("{version}", &version.to_string())
}
