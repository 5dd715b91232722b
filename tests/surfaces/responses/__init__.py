"""The Responses bridge, judged by the official SDK types and by the Open Responses schema."""
