#!/bin/sh
# Prints the base images with their digests of today, as variables that compose.yaml reads.
set -eu

pin() {
    digest=$(docker buildx imagetools inspect "$2" --format '{{.Manifest.Digest}}')
    echo "$1=$2@$digest"
}

pin PYTHON_IMAGE python:3.13-slim
pin UV_IMAGE ghcr.io/astral-sh/uv:0.9
pin REDIS_IMAGE redis:8-alpine
