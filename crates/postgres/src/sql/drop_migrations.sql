DROP TABLE ordain.ordain_migrations;
