INSERT INTO outgoing_commands (name, version, command_id, instance, bucket, sequence, attempts, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO UPDATE SET
    name = excluded.name,
    version = excluded.version,
    instance = excluded.instance,
    bucket = excluded.bucket,
    sequence = excluded.sequence,
    attempts = excluded.attempts,
    data = excluded.data;
