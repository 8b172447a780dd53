-- The end of the log (kind 0) and the wanted entries from position ?1 back, ?2 of them (kind 1).
-- ?3 is whether links are wanted; ?4, ?5 and ?6 are lists of types, categories and streams, or null.
WITH head (position) AS MATERIALIZED (
    SELECT max(
        coalesce((SELECT max(position) FROM events), 0),
        (SELECT floor FROM log_head)
    )
)
SELECT
    0 AS kind,
    NULL AS entry_version,
    NULL AS entry_position,
    head.position,
    NULL AS stream,
    NULL AS name,
    NULL AS version,
    NULL AS event_id,
    NULL AS event_type,
    NULL AS schema_version,
    NULL AS data,
    NULL AS metadata,
    NULL AS correlation_id,
    NULL AS causation_id,
    NULL AS recorded_at,
    NULL AS holder
FROM head
UNION ALL
SELECT
    1,
    entry.version,
    iif(entry.link_to IS NULL, NULL, entry.position),
    event.position,
    event.stream,
    origin.name,
    event.version,
    event.event_id,
    event.event_type,
    event.schema_version,
    event.data,
    event.metadata,
    event.correlation_id,
    event.causation_id,
    event.recorded_at,
    iif(entry.link_to IS NULL, NULL, holder.name)
FROM events AS entry
CROSS JOIN streams AS holder ON holder.key = entry.stream
CROSS JOIN events AS event ON event.position = coalesce(entry.link_to, entry.position)
CROSS JOIN streams AS origin ON origin.key = event.stream
WHERE
    entry.position <= ?1
    AND entry.position > (SELECT min(?1, position) - ?2 FROM head)
    AND entry.event_type <> '$deleted'
    AND (?3 OR entry.link_to IS NULL)
    AND (?4 IS NULL OR event.event_type IN (SELECT value FROM json_each(?4)))
    AND (?5 IS NULL OR holder.category IN (SELECT value FROM json_each(?5)))
    AND (?6 IS NULL OR holder.name IN (SELECT value FROM json_each(?6)));
