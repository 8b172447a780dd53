INSERT INTO timers (name, version, instance, key, generation, bucket, due_at, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO UPDATE SET
    generation = excluded.generation,
    bucket = excluded.bucket,
    due_at = excluded.due_at,
    data = excluded.data;
