SELECT * FROM blocks WHERE name = ?1 AND version = ?2 ORDER BY key LIMIT ?3;
