//! The statements, each in a file of its own.
//!
//! They name the schema `ordain`; it is replaced, once, by that of the store.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, RawSql, SqlSafeStr, SqlStr};

use crate::payload::Payload;
use crate::schema::SchemaName;

/// A statement with the name of the schema filled in.
#[derive(Debug, Clone)]
pub(crate) struct Sql(SqlStr);

impl Sql {
    /// Fills in the name of the schema, which is checked and quoted, and nothing else.
    pub(crate) fn new(text: &str, schema: &SchemaName) -> Self {
        Self::filled_in(text, schema.quoted())
    }

    /// Fills in the name of the schema, and the type of the payloads.
    pub(crate) fn migration(text: &str, schema: &SchemaName, payload: Payload) -> Self {
        let text = text
            .replace("json[] /* payloads */", &format!("{payload}[]"))
            .replace("json /* payload */", payload.name());
        Self::new(&text, schema)
    }

    /// Fills in the name of a database.
    pub(crate) fn of_database(text: &str, database: &str) -> Self {
        let quoted = format!("\"{}\"", database.replace('"', "\"\""));
        Self::filled_in(text, &quoted)
    }

    fn filled_in(text: &str, quoted: &str) -> Self {
        let qualifier = format!("{quoted}.");
        let parts = text.split("\"ordain\"");
        let parts = parts.map(|part| part.replace("ordain.", &qualifier));
        let text: Arc<str> = parts.collect::<Vec<_>>().join(quoted).into();
        // The text is a file of this crate; the name is quoted.
        Self(AssertSqlSafe(text).into_sql_str())
    }

    /// The statement, to bind arguments to.
    pub(crate) fn query<'q>(&self) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(self.0.clone())
    }

    /// The statements, to be run without arguments.
    pub(crate) fn raw(&self) -> RawSql {
        sqlx::raw_sql(self.0.clone())
    }
}

macro_rules! statements {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("sql/", $file, ".sql"));)*
    };
}

statements! {
    CHECK_CONSTRAINTS = "check_constraints";
    CHECK_TRANSACTION = "check_transaction";
    WORK_IS_OPEN = "work_is_open";
    IS_STANDBY = "is_standby";
    SERVER = "server";
    SCHEMA_EXISTS = "schema_exists";
    STORE_EXISTS = "store_exists";
    CREATE_SCHEMA = "create_schema";
    DROP_SCHEMA = "drop_schema";
    SCHEMA_IS_EMPTY = "schema_is_empty";
    BEGIN_MIGRATION = "begin_migration";
    PREPARE_MIGRATION = "prepare_migration";
    LOCK_MIGRATIONS = "lock_migrations";
    LOCK_ORDER = "lock_order";
    CREATE_MIGRATIONS = "create_migrations";
    DROP_MIGRATIONS = "drop_migrations";
    APPLIED = "applied";
    RECORD_MIGRATION = "record_migration";
    FOUND_STORE = "found_store";
    LOG_HEAD = "log_head";
    DATABASE_EXISTS = "database_exists";
    CREATE_DATABASE = "create_database";
    DROP_DATABASE = "drop_database";
}

/// A statement that names no schema, and runs once.
pub(crate) fn once<'q>(text: &'static str) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(text).persistent(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sql: &Sql) -> &str {
        sql.0.as_str()
    }

    #[test]
    fn the_schema_is_filled_in_quoted() {
        let schema = SchemaName::new("my ordain.x").unwrap();
        let sql = Sql::new("CREATE SCHEMA \"ordain\"; SELECT ordain.f()", &schema);
        let expected = "CREATE SCHEMA \"my ordain.x\"; SELECT \"my ordain.x\".f()";
        assert_eq!(text(&sql), expected);
    }

    #[test]
    fn the_payload_is_filled_in() {
        let schema = SchemaName::new("a").unwrap();
        let sql = "data json /* payload */, f(json[] /* payloads */), metadata json";
        let sql = Sql::migration(sql, &schema, Payload::Bytea);
        assert_eq!(text(&sql), "data bytea, f(bytea[]), metadata json");
    }

    #[test]
    fn a_database_is_quoted() {
        let sql = Sql::of_database("DROP DATABASE \"ordain\"", "a\"; b");
        assert_eq!(text(&sql), "DROP DATABASE \"a\"\"; b\"");
    }
}
