"""TensorZero's HTTP gateway, as its Python package carries it: it listens where it likes, and we say where."""

import sys
import time
from urllib.parse import urlsplit

from tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print("port", urlsplit(gateway.base_url).port, flush=True)
while True:
    time.sleep(3600)
