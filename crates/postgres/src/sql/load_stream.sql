-- The snapshot of stream $1 (kind 2), if it has schema version $2 and is not beyond version $3; the end of
-- the stream (kind 0); and, if it is open, up to $4 of its events from the snapshot's version, or the first,
-- on (kind 1).
WITH head AS MATERIALIZED (
    SELECT
        stream.key, stream.deleted, stream.holds_links,
        last.stream_version, last.event_id, last.global_position,
        taken.stream_version AS snapshot_version, taken.entry, taken.schema_version, taken.taken_at,
        taken.data AS state
    FROM ordain.streams AS stream
    CROSS JOIN LATERAL (
        SELECT entry.stream_version, entry.event_id, entry.global_position
        FROM ordain.events AS entry
        WHERE entry.stream_key = stream.key
        ORDER BY entry.stream_version DESC
        LIMIT 1
    ) AS last
    LEFT JOIN ordain.snapshots AS taken
        ON taken.stream_key = stream.key AND taken.schema_version = $2 AND taken.stream_version <= $3
    WHERE stream.name = $1
)
SELECT
    0 AS kind,
    head.deleted::bigint AS entry_version,
    NULL::bigint AS entry_position,
    NULL::bigint AS stream_key,
    NULL::text AS name,
    head.global_position,
    head.stream_version,
    head.event_id,
    NULL::text AS event_type,
    NULL::integer AS schema_version,
    NULL::uuid AS correlation_id,
    NULL::uuid AS causation_id,
    NULL::timestamptz AS recorded_at,
    NULL::json AS metadata,
    (SELECT event.data FROM ordain.events AS event WHERE false) AS data,
    NULL::bytea AS state
FROM head
UNION ALL
SELECT
    2, NULL, NULL, NULL, NULL, NULL, head.snapshot_version, head.entry, NULL, head.schema_version, NULL, NULL,
    head.taken_at, NULL, NULL, head.state
FROM head
WHERE head.deleted = 0 AND head.snapshot_version IS NOT NULL
UNION ALL
SELECT
    1,
    NULL,
    NULL,
    NULL,
    NULL,
    event.global_position,
    event.stream_version,
    event.event_id,
    event.event_type,
    event.schema_version,
    event.correlation_id,
    event.causation_id,
    event.recorded_at,
    event.metadata,
    event.data,
    NULL
FROM head
JOIN ordain.events AS event
    ON event.stream_key = head.key
    AND event.stream_version >= coalesce(head.snapshot_version, 1)
    AND event.stream_version < coalesce(head.snapshot_version, 1) + $4
WHERE head.deleted = 0 AND NOT head.holds_links AND event.event_type <> '$deleted';
