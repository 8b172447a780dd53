INSERT INTO store_info (id, codec, created_by, created_at) VALUES (1, ?1, ?2, ?3);
