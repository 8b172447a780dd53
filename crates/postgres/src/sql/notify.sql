-- Calls the others on the channel $1, as $2. Nothing is lost with a call, so no disk is waited for.
SELECT pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify($1, $2);
