DELETE FROM {schema}.bank_balances
