INSERT INTO process_instances (name, version, id, bucket, position, finished, data, changed_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO UPDATE SET
    bucket = excluded.bucket,
    position = excluded.position,
    finished = excluded.finished,
    data = excluded.data,
    changed_at = excluded.changed_at;
