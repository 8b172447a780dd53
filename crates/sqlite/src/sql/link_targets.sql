-- The events behind the ids of ?1; a link leads to its target.
SELECT wanted.key, target.position, target.event_id
FROM json_each(?1) AS wanted
CROSS JOIN events AS entry ON entry.event_id = unhex(wanted.value)
CROSS JOIN events AS target ON target.position = coalesce(entry.link_to, entry.position)
WHERE target.event_type <> '$deleted';
