-- The generation and the end of the log, of one state of the database.
SELECT
    head.generation,
    greatest(coalesce(last.global_position, 0), head.floor) AS head,
    last.event_id AS head_id,
    EXISTS (SELECT FROM ordain.erasures) AS erases
FROM ordain.log_head AS head
LEFT JOIN LATERAL (
    SELECT event.global_position, event.event_id
    FROM ordain.events AS event ORDER BY event.global_position DESC LIMIT 1
) AS last ON true
WHERE head.id = 1;
