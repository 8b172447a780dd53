DELETE FROM process_instances WHERE name = ?1 AND version = ?2 AND id = ?3;
