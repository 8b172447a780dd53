CREATE TABLE IF NOT EXISTS {schema}.bank_balances_{version} (
    account  text COLLATE "C" PRIMARY KEY,
    owner    text    NOT NULL,
    balance  bigint NOT NULL,
    reserved bigint NOT NULL,
    closed   boolean NOT NULL,
    version  bigint NOT NULL
)
