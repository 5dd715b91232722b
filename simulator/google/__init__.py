"""Gemini, Vertex AI and Google's token endpoint as the simulator plays them."""
