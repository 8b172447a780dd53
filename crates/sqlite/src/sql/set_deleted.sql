UPDATE streams SET deleted = ?2 WHERE key = ?1;
