"""Alert rules: what they measure, their state in the store, and muting."""
