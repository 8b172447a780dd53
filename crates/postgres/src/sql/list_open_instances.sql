-- The first $4 instances whose ids come after $3, or of all if it is null, that have not ended.
SELECT
    instance.id, instance.bucket, instance.position, instance.finished_at IS NOT NULL AS finished, instance.data,
    instance.changed_at
FROM ordain.process_instances AS instance
WHERE instance.name = $1 AND instance.version = $2 AND instance.id >= coalesce($3::text, '')
    AND instance.id IS DISTINCT FROM $3 AND instance.finished_at IS NULL
ORDER BY instance.id
LIMIT $4;
