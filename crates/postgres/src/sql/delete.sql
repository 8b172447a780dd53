SELECT verdict, version, place FROM ordain.delete_1($1, $2, $3, $4, $5, $6);
