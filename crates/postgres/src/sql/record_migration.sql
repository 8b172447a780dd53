INSERT INTO ordain.ordain_migrations (version, name, checksum, applied_at)
VALUES ($1, $2, $3, pg_catalog.clock_timestamp());
