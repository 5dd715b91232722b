"""What both tiers mean: inference, governance, jobs, providers, wire formats."""
