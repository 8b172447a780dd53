-- What the command whose first event has the id $1 left behind: that event's version, or an answer.
SELECT event.stream_version AS version, NULL::bytea AS answer
FROM ordain.events AS event
WHERE event.event_id = $1 AND event.event_type NOT LIKE '$%'
UNION ALL
SELECT NULL, outcome.data FROM ordain.command_outcomes AS outcome WHERE outcome.first_event = $1;
