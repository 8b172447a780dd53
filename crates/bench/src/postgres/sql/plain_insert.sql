\set version :version + 1
INSERT INTO ordain.plain (stream_key, stream_version, recorded_at, event_id, schema_version, event_type, data)
VALUES (
    :client_id, :version, now(),
    (lpad(to_hex(:version::bigint), 16, '0') || lpad(to_hex(:client_id::bigint), 16, '0'))::uuid,
    1, 'MoneyDeposited', :payload
);
