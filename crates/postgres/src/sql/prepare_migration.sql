SELECT pg_catalog.set_config('lock_timeout', $1, true),
       pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('search_path', 'pg_catalog', true);
