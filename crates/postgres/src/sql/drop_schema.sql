DROP SCHEMA "ordain";
