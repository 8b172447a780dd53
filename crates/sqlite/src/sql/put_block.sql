INSERT INTO blocks (name, version, key, kind, position, event_id, error, attempts, since, request)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT DO UPDATE SET
    kind = excluded.kind,
    position = excluded.position,
    event_id = excluded.event_id,
    error = excluded.error,
    attempts = excluded.attempts,
    since = excluded.since,
    request = excluded.request;
