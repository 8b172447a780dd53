DELETE FROM {schema}.bank_daily_statement
