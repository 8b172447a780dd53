-- Instances from the id ?3 on, at most ?4.
SELECT * FROM process_instances
WHERE name = ?1 AND version = ?2 AND id >= ?3
ORDER BY id
LIMIT ?4;
