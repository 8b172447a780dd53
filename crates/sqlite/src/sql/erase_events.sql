DELETE FROM events WHERE stream = ?1 AND version < ?2;
