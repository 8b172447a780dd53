-- Who holds the order lock, and what that session did last.
SELECT activity.pid, coalesce(activity.query, '') AS query
FROM pg_locks AS held
JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE
    held.locktype = 'advisory'
    AND held.granted
    AND held.database = (SELECT base.oid FROM pg_database AS base WHERE base.datname = current_database())
    AND held.classid = 1869767777
    AND held.objid = 'ordain.log_head'::regclass::oid;
