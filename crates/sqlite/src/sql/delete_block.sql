DELETE FROM blocks WHERE name = ?1 AND version = ?2 AND key = ?3;
