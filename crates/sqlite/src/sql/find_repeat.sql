-- What the command ?2 of stream ?1, whose first event has the id ?3, left behind.
SELECT version, NULL AS data
FROM events
WHERE event_id = ?3 AND event_type NOT LIKE '$%'
UNION ALL
SELECT NULL, data FROM command_outcomes WHERE stream = ?1 AND command_id = ?2;
