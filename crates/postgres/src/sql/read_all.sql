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
            (SELECT log.floor FROM ordain.log_head AS log WHERE log.id = 1)
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
CROSS JOIN LATERAL (
    SELECT entry.*
    FROM ordain.events AS entry
    WHERE
        entry.global_position > head.low
        AND entry.global_position <= head.high
        AND entry.link_to IS NULL
        AND entry.event_type <> '$deleted'
        AND ($5::text[] IS NULL OR entry.event_type = ANY ($5))
    OFFSET 0
) AS event
CROSS JOIN LATERAL (
    SELECT stream.name, stream.category FROM ordain.streams AS stream WHERE stream.key = event.stream_key LIMIT 1
) AS origin
WHERE
    ($6::text[] IS NULL OR origin.category = ANY ($6))
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
CROSS JOIN LATERAL (
    SELECT link.stream_key, link.stream_version, link.global_position, link.link_to
    FROM ordain.events AS link
    WHERE
        $4
        AND link.global_position > head.low
        AND link.global_position <= head.high
        AND link.link_to IS NOT NULL
    OFFSET 0
) AS entry
CROSS JOIN LATERAL (
    SELECT stream.name, stream.category FROM ordain.streams AS stream WHERE stream.key = entry.stream_key LIMIT 1
) AS holder
CROSS JOIN LATERAL (
    SELECT target.* FROM ordain.events AS target WHERE target.global_position = entry.link_to LIMIT 1
) AS event
CROSS JOIN LATERAL (
    SELECT stream.name FROM ordain.streams AS stream WHERE stream.key = event.stream_key LIMIT 1
) AS origin
WHERE
    ($5::text[] IS NULL OR event.event_type = ANY ($5))
    AND ($6::text[] IS NULL OR holder.category = ANY ($6))
    AND ($7::text[] IS NULL OR holder.name = ANY ($7));
