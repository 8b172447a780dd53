SELECT pg_catalog.pg_advisory_xact_lock(
    1869767777,
    'ordain.log_head'::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int4
);
