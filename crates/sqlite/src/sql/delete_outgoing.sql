DELETE FROM outgoing_commands WHERE name = ?1 AND version = ?2 AND command_id = ?3;
