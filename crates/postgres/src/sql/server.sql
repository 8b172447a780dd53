SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
       pg_catalog.pg_is_in_recovery(),
       pg_catalog.current_setting('fsync'),
       pg_catalog.current_setting('synchronous_commit'),
       pg_catalog.current_setting('transaction_read_only'),
       pg_catalog.current_setting('server_encoding');
