INSERT INTO events (
    position,
    stream,
    version,
    event_id,
    event_type,
    schema_version,
    data,
    metadata,
    correlation_id,
    causation_id,
    recorded_at,
    link_to
) VALUES
