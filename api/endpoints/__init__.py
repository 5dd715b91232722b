"""What endpoints are built from: authentication, FastAPI dependencies, translated surfaces, merged lists."""
