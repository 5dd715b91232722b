"""Anthropic's Messages API as the simulator plays it."""
