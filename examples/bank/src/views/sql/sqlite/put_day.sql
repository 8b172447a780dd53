INSERT INTO bank_daily_statement (account, day, opening, money_in, money_out)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account, day) DO UPDATE
SET opening = excluded.opening,
    money_in = excluded.money_in,
    money_out = excluded.money_out
