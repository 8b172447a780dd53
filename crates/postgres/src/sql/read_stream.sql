-- The end of stream $1 (kind 0) and, if it is open, its entries (kind 1): those from version $2 to $3, or,
-- if $4 is not null, that many up to version $3 or the end.
WITH head AS MATERIALIZED (
    SELECT
        stream.key, stream.deleted, stream.holds_links,
        last.stream_version, last.event_id, last.global_position,
        least($3, last.stream_version) AS high,
        coalesce(least($3, last.stream_version) - $4 + 1, $2) AS low
    FROM ordain.streams AS stream
    CROSS JOIN LATERAL (
        SELECT entry.stream_version, entry.event_id, entry.global_position
        FROM ordain.events AS entry
        WHERE entry.stream_key = stream.key
        ORDER BY entry.stream_version DESC
        LIMIT 1
    ) AS last
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
    (SELECT event.data FROM ordain.events AS event WHERE false) AS data
FROM head
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
    event.data
FROM head
JOIN ordain.events AS event
    ON event.stream_key = head.key AND event.stream_version BETWEEN head.low AND head.high
WHERE head.deleted = 0 AND NOT head.holds_links AND event.event_type <> '$deleted'
UNION ALL
SELECT
    1,
    entry.stream_version,
    entry.global_position,
    event.stream_key,
    origin.name,
    event.global_position,
    event.stream_version,
    event.event_id,
    event.event_type,
    event.schema_version,
    event.correlation_id,
    event.causation_id,
    event.recorded_at,
    event.metadata,
    event.data
FROM head
JOIN ordain.events AS entry
    ON entry.stream_key = head.key AND entry.stream_version BETWEEN head.low AND head.high
JOIN ordain.events AS event ON event.global_position = entry.link_to
JOIN ordain.streams AS origin ON origin.key = event.stream_key
WHERE head.deleted = 0 AND head.holds_links;
