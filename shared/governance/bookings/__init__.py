"""What jobs of shards other than 0 change in limits and ledger, and its way to shard 0."""
