SELECT m.version, m.name, m.checksum, m.applied_at FROM ordain.ordain_migrations AS m ORDER BY m.version;
