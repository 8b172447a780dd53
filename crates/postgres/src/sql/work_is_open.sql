SELECT coalesce(pg_catalog.current_setting('ordain_work.state', true) = 'open', false);
