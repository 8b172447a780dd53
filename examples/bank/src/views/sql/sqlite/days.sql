SELECT account, day, opening, money_in, money_out
FROM bank_daily_statement
ORDER BY account, day
