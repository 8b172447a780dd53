SELECT account, owner, balance, reserved, closed, version
FROM bank_balances
ORDER BY account
