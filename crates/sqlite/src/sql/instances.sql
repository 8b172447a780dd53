SELECT * FROM process_instances
WHERE name = ?1 AND version = ?2 AND id IN (SELECT value FROM json_each(?3))
ORDER BY id;
