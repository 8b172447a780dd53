SELECT ordain.position_at_1($1) AS position;
