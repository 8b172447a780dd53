SELECT found.id, found.bucket, found.position, found.finished, found.data, found.changed_at
FROM (SELECT DISTINCT given.id FROM unnest($3::text[]) AS given (id)) AS wanted
CROSS JOIN LATERAL (
    SELECT
        instance.id, instance.bucket, instance.position, instance.finished_at IS NOT NULL AS finished, instance.data,
        instance.changed_at
    FROM ordain.process_instances AS instance
    WHERE instance.name = $1 AND instance.version = $2 AND instance.id = wanted.id
    LIMIT 1
) AS found
ORDER BY found.id;
