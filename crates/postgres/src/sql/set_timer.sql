INSERT INTO ordain.timers AS timer (name, version, instance, key, bucket, generation, due_at, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT ON CONSTRAINT timers_pkey DO UPDATE SET
    bucket = excluded.bucket,
    generation = excluded.generation,
    due_at = excluded.due_at,
    data = excluded.data;
