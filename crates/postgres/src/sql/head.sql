SELECT greatest(
    coalesce((SELECT event.global_position FROM ordain.events AS event ORDER BY event.global_position DESC LIMIT 1), 0),
    (SELECT log.floor FROM ordain.log_head AS log WHERE log.id = 1)
) AS position;
