UPDATE partitions
SET trouble_position = ?4, trouble_error = ?5, trouble_attempts = ?6, trouble_next_attempt = ?7
WHERE name = ?1 AND version = ?2 AND partition = ?3;
