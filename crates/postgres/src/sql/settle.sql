-- What is there of the events with the ids $1, and of the remembered answers of the commands whose first
-- events would have the ids $2.
SELECT event.event_id AS id, event.global_position, event.stream_version, event.recorded_at, NULL::bytea AS answer
FROM ordain.events AS event
WHERE event.event_id = ANY ($1)
UNION ALL
SELECT outcome.first_event, NULL, NULL, NULL, outcome.data
FROM ordain.command_outcomes AS outcome
WHERE outcome.first_event = ANY ($2);
