"""The one path of every call: answer a request, or stream its answer."""
