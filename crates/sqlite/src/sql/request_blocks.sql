UPDATE blocks SET request = ?4
WHERE name = ?1 AND version = ?2 AND kind = 'dead_letter' AND (?3 IS NULL OR key = ?3);
