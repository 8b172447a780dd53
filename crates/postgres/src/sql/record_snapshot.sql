-- The row of the stream is locked against an erasure, after which a snapshot would outlive its events.
WITH stream AS (
    SELECT kept.key FROM ordain.streams AS kept WHERE kept.name = $1 AND kept.deleted <> 2 FOR SHARE
)
INSERT INTO ordain.snapshots AS kept (stream_key, stream_version, entry, schema_version, taken_at, data)
SELECT stream.key, $2, $3, $4, $5, $6 FROM stream
ON CONFLICT ON CONSTRAINT snapshots_pkey DO UPDATE SET
    stream_version = excluded.stream_version,
    entry = excluded.entry,
    schema_version = excluded.schema_version,
    taken_at = excluded.taken_at,
    data = excluded.data
WHERE kept.stream_version < excluded.stream_version OR kept.schema_version <> excluded.schema_version;
