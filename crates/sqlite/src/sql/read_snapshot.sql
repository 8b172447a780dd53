SELECT version, entry, schema_version, data, taken_at FROM snapshots WHERE stream = ?1;
