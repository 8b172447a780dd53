SELECT verdict, version, entry, place FROM ordain.undelete_1($1, $2, $3);
