SELECT 'PostgreSQL ' || string_agg(CASE name WHEN 'server_version' THEN '' ELSE name || ' ' END || current_setting(name), ', ' ORDER BY place)
FROM unnest(ARRAY[
    'server_version', 'fsync', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'checkpoint_timeout'
]) WITH ORDINALITY AS settings (name, place)
