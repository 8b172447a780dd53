//! The migrations, in their order.

use uuid::Uuid;

use super::SchemaName;

/// The namespace of checksums and keys of locks.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f72_6461_696e_4d69_9a1c_7e05_3db2_41f8);

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) version: i32,
    pub(crate) name: &'static str,
    /// Statements that make the step.
    pub(crate) text: &'static str,
    /// Statements that remove what the step has made, when those after it have been removed.
    pub(crate) drop: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal $file:literal;)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            text: include_str!(concat!("../../migrations/", $file, ".sql")),
            drop: include_str!(concat!("../../migrations/", $file, ".drop.sql")),
        }),*]
    };
}

/// The migrations, numbered from 1 without a gap. Never changed once released.
pub(crate) const MIGRATIONS: &[Migration] = migrations! {
    1 "initial" "0001_initial";
    2 "subscriptions" "0002_subscriptions";
};

impl Migration {
    /// Tells whether the text is the one that was applied.
    pub(crate) fn checksum(&self) -> Uuid {
        Uuid::new_v5(&NAMESPACE, self.text.as_bytes())
    }
}

/// The key of the lock under which the schema is migrated.
pub(crate) fn lock_key(schema: &SchemaName) -> i64 {
    let (key, _) = Uuid::new_v5(&NAMESPACE, schema.as_str().as_bytes()).as_u64_pair();
    key.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_one_without_a_gap() {
        let versions = MIGRATIONS.iter().map(|migration| migration.version);
        assert!(versions.eq(1..=MIGRATIONS.len() as i32));
    }

    #[test]
    fn each_schema_has_a_lock_of_its_own() {
        let key = |name| lock_key(&SchemaName::new(name).unwrap());
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
    }
}
