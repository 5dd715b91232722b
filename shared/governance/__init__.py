"""Who may spend what: virtual keys, budgets, limits, prices, the ledger."""
