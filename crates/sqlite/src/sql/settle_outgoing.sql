DELETE FROM outgoing_commands WHERE command_id IN (SELECT unhex(value) FROM json_each(?1));
