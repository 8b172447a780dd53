SELECT account, day, opening, money_in, money_out
FROM {schema}.bank_daily_statement
WHERE account = $1 AND day <= $2
ORDER BY day DESC
LIMIT 1
