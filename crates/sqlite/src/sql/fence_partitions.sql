UPDATE partitions SET owner = NULL, lease_until = NULL, epoch = epoch + 1 WHERE name = ?1 AND version = ?2;
