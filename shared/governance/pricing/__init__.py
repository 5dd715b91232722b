"""What a call uses and what that costs."""
