SELECT last.stream_version, stream.created_at, last.recorded_at AS changed_at, stream.deleted
FROM ordain.streams AS stream
CROSS JOIN LATERAL (
    SELECT entry.stream_version, entry.recorded_at
    FROM ordain.events AS entry
    WHERE entry.stream_key = stream.key
    ORDER BY entry.stream_version DESC
    LIMIT 1
) AS last
WHERE stream.name = $1;
