CREATE TABLE IF NOT EXISTS {schema}.bank_daily_statement (
    account   text COLLATE "C"   NOT NULL,
    day       text COLLATE "C"   NOT NULL,
    opening   bigint NOT NULL,
    money_in  bigint NOT NULL,
    money_out bigint NOT NULL,
    PRIMARY KEY (account, day)
)
