CREATE TABLE IF NOT EXISTS bank_balances_{version} (
    account  TEXT PRIMARY KEY,
    owner    TEXT    NOT NULL,
    balance  INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    closed   INTEGER NOT NULL,
    version  INTEGER NOT NULL
)
