SELECT verdict, generation, first_position, version, recorded_at, found_id FROM ordain.link_1($1, $2, $3, $4, $5, $6);
