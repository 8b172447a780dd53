-- Where the streams with the names $1 end, in their order.
SELECT last.stream_version, last.event_id, last.global_position, stream.deleted <> 0 AS deleted
FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS wanted (name, number)
LEFT JOIN LATERAL (
    SELECT stream.key, stream.deleted FROM ordain.streams AS stream WHERE stream.name = wanted.name LIMIT 1
) AS stream ON true
LEFT JOIN LATERAL (
    SELECT entry.stream_version, entry.event_id, entry.global_position
    FROM ordain.events AS entry
    WHERE entry.stream_key = stream.key
    ORDER BY entry.stream_version DESC
    LIMIT 1
) AS last ON true
ORDER BY wanted.number;
