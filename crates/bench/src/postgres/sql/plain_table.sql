-- A table like that of the events, down to its indexes, for clients that insert without a store.
CREATE TABLE ordain.plain (LIKE ordain.events INCLUDING ALL);
CREATE SEQUENCE ordain.plain_position OWNED BY ordain.plain.global_position;
ALTER TABLE ordain.plain ALTER global_position SET DEFAULT nextval('ordain.plain_position');
