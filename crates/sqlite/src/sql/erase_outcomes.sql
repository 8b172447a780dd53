DELETE FROM command_outcomes WHERE stream = ?1;
