SELECT ordain.release_1($1, $2, $3, $4);
