INSERT INTO erased (position, recorded_at)
SELECT position, recorded_at FROM events WHERE stream = ?1 AND version < ?2;
