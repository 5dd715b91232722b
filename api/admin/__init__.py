"""``/api``: administration, behind the admin key."""
