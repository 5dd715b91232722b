"""OpenAI's API as the simulator plays it."""
