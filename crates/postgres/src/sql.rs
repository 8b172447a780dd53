//! The statements, each in a file of its own.
//!
//! They name the schema `ordain`; it is replaced, once, by that of the store.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::schema::SchemaName;

/// A statement with the name of the schema filled in.
#[derive(Debug, Clone)]
pub(crate) struct Sql(SqlStr);

impl Sql {
    /// Fills in the name of the schema, which is checked and quoted, and nothing else.
    pub(crate) fn new(text: &str, schema: &SchemaName) -> Self {
        let text: Arc<str> = text.replace("ordain.", &format!("{}.", schema.quoted())).into();
        Self(AssertSqlSafe(text).into_sql_str())
    }

    /// The statement, to bind arguments to.
    pub(crate) fn query<'q>(&self) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(self.0.clone())
    }
}
