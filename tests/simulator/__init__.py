"""The simulator, over real sockets, judged by the official SDK."""
