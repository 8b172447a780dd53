INSERT INTO snapshots (stream, version, entry, schema_version, data, taken_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE EXISTS (SELECT 1 FROM streams WHERE name = ?1 AND deleted <> 2)
ON CONFLICT (stream) DO UPDATE SET
    version = excluded.version,
    entry = excluded.entry,
    schema_version = excluded.schema_version,
    data = excluded.data,
    taken_at = excluded.taken_at
WHERE snapshots.version < excluded.version OR snapshots.schema_version <> excluded.schema_version;
