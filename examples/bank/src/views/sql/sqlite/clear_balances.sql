DELETE FROM bank_balances
