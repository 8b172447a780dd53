CREATE TABLE ordain.ordain_migrations (
    version integer CONSTRAINT ordain_migrations_pkey PRIMARY KEY,
    name text NOT NULL,
    checksum uuid NOT NULL,
    applied_at timestamptz NOT NULL
);
