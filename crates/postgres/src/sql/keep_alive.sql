SELECT record.* FROM ordain.keep_alive_1($1, $2, $3, $4, $5, $6, $7, $8) AS record;
