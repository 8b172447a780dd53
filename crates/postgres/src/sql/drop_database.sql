DROP DATABASE "ordain";
