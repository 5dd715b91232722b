"""OpenAI's Responses API for providers that only chat: requests, bodies, items and the event stream; pure.

Source: https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org/specification
"""
