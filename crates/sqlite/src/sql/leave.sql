DELETE FROM members WHERE owner = ?1;
UPDATE partitions SET owner = NULL, lease_until = NULL, epoch = epoch + 1 WHERE owner = ?1;
