DELETE FROM erasure_permit WHERE stream = ?1;
