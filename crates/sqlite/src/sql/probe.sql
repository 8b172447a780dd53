-- All that a batch is judged on, as of this transaction: the end of the log (kind 0), the ends of the
-- streams named in ?1 (kind 1), the event ids of ?2 that exist (kind 2), the remembered answers of the
-- commands in ?3 (kind 3) and the outgoing commands of ?4 (kind 4). `at` is the index in the list asked for.
SELECT
    0 AS kind,
    0 AS at,
    (SELECT position FROM events ORDER BY position DESC LIMIT 1) AS a,
    (SELECT recorded_at FROM events ORDER BY position DESC LIMIT 1) AS b,
    (SELECT floor FROM log_head) AS c,
    (SELECT max(key) FROM streams) AS d,
    NULL AS e,
    NULL AS f
UNION ALL
SELECT
    1,
    wanted.key,
    stream.key,
    stream.deleted,
    stream.holds_links,
    last.version,
    last.event_id,
    last.position
FROM json_each(?1) AS wanted
CROSS JOIN streams AS stream ON stream.name = wanted.value
CROSS JOIN events AS last ON last.position = (
    SELECT entry.position FROM events AS entry WHERE entry.stream = stream.key ORDER BY entry.version DESC LIMIT 1
)
UNION ALL
SELECT 2, wanted.key, event.version, event.event_type LIKE '$%', NULL, NULL, NULL, NULL
FROM json_each(?2) AS wanted
CROSS JOIN events AS event ON event.event_id = unhex(wanted.value)
UNION ALL
SELECT 3, wanted.key, outcome.data, NULL, NULL, NULL, NULL, NULL
FROM json_each(?3) AS wanted
CROSS JOIN command_outcomes AS outcome
    ON outcome.stream = wanted.value ->> 0 AND outcome.command_id = unhex(wanted.value ->> 1)
UNION ALL
SELECT 4, wanted.key, NULL, NULL, NULL, NULL, NULL, NULL
FROM json_each(?4) AS wanted
CROSS JOIN outgoing_commands AS outgoing ON outgoing.command_id = unhex(wanted.value);
