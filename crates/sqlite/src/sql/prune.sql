DELETE FROM blocks WHERE name = ?1 AND version = ?2 AND kind = 'dead_letter' AND since < ?3;
DELETE FROM process_instances WHERE name = ?1 AND version = ?2 AND finished = 1 AND changed_at < ?4;
