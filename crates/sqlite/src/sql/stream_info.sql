SELECT stream.name, last.version, stream.created_at, last.recorded_at, stream.deleted
FROM streams AS stream
CROSS JOIN events AS last ON last.stream = stream.key
WHERE stream.name = ?1
ORDER BY last.version DESC
LIMIT 1;
