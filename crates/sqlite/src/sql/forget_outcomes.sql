DELETE FROM command_outcomes WHERE recorded_at < ?1;
