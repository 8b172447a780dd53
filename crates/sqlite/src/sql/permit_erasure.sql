INSERT INTO erasure_permit (stream) VALUES (?1);
