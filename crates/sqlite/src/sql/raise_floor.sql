UPDATE log_head SET floor = max(floor, ?1);
