DROP VIEW IF EXISTS bank_balances
