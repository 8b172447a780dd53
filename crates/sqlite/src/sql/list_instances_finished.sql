-- Instances from the id ?3 on, at most ?4, that have ended or not, as ?5 says.
SELECT * FROM process_instances
WHERE name = ?1 AND version = ?2 AND finished = ?5 AND id >= ?3
ORDER BY id
LIMIT ?4;
