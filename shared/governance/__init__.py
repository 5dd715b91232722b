"""Virtual keys, budgets, rate limits, prices and the ledger."""
