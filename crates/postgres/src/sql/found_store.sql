INSERT INTO ordain.log_head (id, identity, generation, payload, codec, created_by, created_at)
VALUES (1, $1, $2, $3, $4, $5, pg_catalog.clock_timestamp());
