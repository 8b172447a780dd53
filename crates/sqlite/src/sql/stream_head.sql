SELECT stream.deleted, last.version, last.event_id, last.position
FROM streams AS stream
CROSS JOIN events AS last ON last.stream = stream.key
WHERE stream.name = ?1
ORDER BY last.version DESC
LIMIT 1;
