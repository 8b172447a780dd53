-- The end of stream ?1 (kind 0) and, if it is open, its entries from version ?2 to ?3 (kind 1).
WITH head AS MATERIALIZED (
    SELECT stream.key, stream.deleted, last.version, last.event_id, last.position
    FROM streams AS stream
    CROSS JOIN events AS last ON last.stream = stream.key
    WHERE stream.name = ?1
    ORDER BY last.version DESC
    LIMIT 1
)
SELECT
    0 AS kind,
    head.deleted AS entry_version,
    NULL AS entry_position,
    head.position,
    NULL AS stream,
    NULL AS name,
    head.version,
    head.event_id,
    NULL AS event_type,
    NULL AS schema_version,
    NULL AS data,
    NULL AS metadata,
    NULL AS correlation_id,
    NULL AS causation_id,
    NULL AS recorded_at
FROM head
UNION ALL
SELECT
    1,
    entry.version,
    iif(entry.link_to IS NULL, NULL, entry.position),
    event.position,
    event.stream,
    iif(entry.link_to IS NULL, NULL, (SELECT name FROM streams WHERE key = event.stream)),
    event.version,
    event.event_id,
    event.event_type,
    event.schema_version,
    event.data,
    event.metadata,
    event.correlation_id,
    event.causation_id,
    event.recorded_at
FROM head
CROSS JOIN events AS entry ON entry.stream = head.key
CROSS JOIN events AS event ON event.position = coalesce(entry.link_to, entry.position)
WHERE
    head.deleted = 0
    AND entry.version BETWEEN ?2 AND ?3
    AND entry.event_type <> '$deleted';
