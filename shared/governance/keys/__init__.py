"""Virtual keys: model, store, process cache, and the authentication of callers."""
