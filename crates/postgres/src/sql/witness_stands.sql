-- Whether the event with the id $2 still stands at position $1, or was erased there on purpose.
SELECT
    EXISTS (SELECT FROM ordain.events AS event WHERE event.global_position = $1 AND event.event_id = $2)
    OR EXISTS (SELECT FROM ordain.erased AS gone WHERE gone.global_position = $1) AS stands;
