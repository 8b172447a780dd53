INSERT INTO subscriptions (
    name,
    version,
    generation,
    state,
    reason,
    fingerprint,
    replayed,
    barrier_position,
    barrier_partitions
)
VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO UPDATE SET
    generation = generation + 1,
    state = excluded.state,
    reason = excluded.reason,
    fingerprint = excluded.fingerprint,
    replayed = excluded.replayed,
    barrier_position = excluded.barrier_position,
    barrier_partitions = excluded.barrier_partitions;
