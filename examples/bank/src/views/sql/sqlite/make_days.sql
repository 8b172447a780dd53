CREATE TABLE IF NOT EXISTS bank_daily_statement (
    account   TEXT   NOT NULL,
    day       TEXT   NOT NULL,
    opening   INTEGER NOT NULL,
    money_in  INTEGER NOT NULL,
    money_out INTEGER NOT NULL,
    PRIMARY KEY (account, day)
)
