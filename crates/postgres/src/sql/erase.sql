SELECT ordain.erase_1($1);
