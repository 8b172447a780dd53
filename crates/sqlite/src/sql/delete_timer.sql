DELETE FROM timers WHERE name = ?1 AND version = ?2 AND instance = ?3 AND key = ?4;
