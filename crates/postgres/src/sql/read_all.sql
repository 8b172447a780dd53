-- The end of the log (kind 0) and the wanted entries (kind 1): those after position $1, up to $2, or, if $3
-- is not null, that many positions up to $2 or the end. $4 is whether links are wanted; $5, $6 and $7 are
-- lists of types, categories and streams, or null.
WITH head AS MATERIALIZED (
    SELECT
        ends.position,
        least($2, ends.position) AS high,
        coalesce(least($2, ends.position) - $3, $1) AS low
    FROM (
        SELECT greatest(
            (SELECT event.global_position FROM ordain.events AS event ORDER BY event.global_position DESC LIMIT 1),
            (SELECT log.floor FROM ordain.log_head AS log)
        ) AS position
    ) AS ends
)
SELECT
    0 AS kind,
    NULL::bigint AS entry_version,
    NULL::bigint AS entry_position,
    NULL::bigint AS stream_key,
    NULL::text AS name,
    head.position AS global_position,
    NULL::bigint AS stream_version,
    NULL::uuid AS event_id,
    NULL::text AS event_type,
    NULL::integer AS schema_version,
    NULL::uuid AS correlation_id,
    NULL::uuid AS causation_id,
    NULL::timestamptz AS recorded_at,
    NULL::json AS metadata,
    (SELECT event.data FROM ordain.events AS event WHERE false) AS data,
    NULL::text AS holder
FROM head
UNION ALL
SELECT
    1,
    NULL,
    NULL,
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
    event.data,
    NULL
FROM head
JOIN ordain.events AS event ON event.global_position > head.low AND event.global_position <= head.high
JOIN ordain.streams AS origin ON origin.key = event.stream_key
WHERE
    event.link_to IS NULL
    AND event.event_type <> '$deleted'
    AND ($5::text[] IS NULL OR event.event_type = ANY ($5))
    AND ($6::text[] IS NULL OR origin.category = ANY ($6))
    AND ($7::text[] IS NULL OR origin.name = ANY ($7))
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
    event.data,
    holder.name
FROM head
JOIN ordain.events AS entry ON entry.global_position > head.low AND entry.global_position <= head.high
JOIN ordain.streams AS holder ON holder.key = entry.stream_key
JOIN ordain.events AS event ON event.global_position = entry.link_to
JOIN ordain.streams AS origin ON origin.key = event.stream_key
WHERE
    $4
    AND entry.link_to IS NOT NULL
    AND ($5::text[] IS NULL OR event.event_type = ANY ($5))
    AND ($6::text[] IS NULL OR holder.category = ANY ($6))
    AND ($7::text[] IS NULL OR holder.name = ANY ($7));
