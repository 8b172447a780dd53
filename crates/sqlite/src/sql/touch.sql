UPDATE log_head SET floor = floor;
