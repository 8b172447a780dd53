DELETE FROM outgoing_commands WHERE name = ?1 AND version = ?2 AND instance = ?3;
