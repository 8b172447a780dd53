-- The first $5 timers of the share $3 of $4 that are due, behind a row that tells the time, and when the first of
-- those is due that are not due yet.
WITH clock AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() AS now
)
SELECT
    NULL::text COLLATE "C" AS instance, NULL::text COLLATE "C" AS key, NULL::bigint AS bucket, NULL::bigint AS generation, next.due_at, NULL::bytea AS data,
    clock.now
FROM clock
LEFT JOIN LATERAL (
    SELECT timer.due_at
    FROM ordain.timers AS timer
    WHERE timer.name = $1 AND timer.version = $2 AND timer.due_at > clock.now AND timer.bucket % $4 = $3
    ORDER BY timer.due_at
    LIMIT 1
) AS next ON true
UNION ALL
SELECT due.instance, due.key, due.bucket, due.generation, due.due_at, due.data, NULL
FROM clock
CROSS JOIN LATERAL (
    SELECT timer.instance, timer.key, timer.bucket, timer.generation, timer.due_at, timer.data
    FROM ordain.timers AS timer
    WHERE timer.name = $1 AND timer.version = $2 AND timer.due_at <= clock.now AND timer.bucket % $4 = $3
    ORDER BY timer.due_at, timer.instance, timer.key
    LIMIT $5
) AS due
ORDER BY now, due_at, instance, key;
