"""The accounting functions of the job engine's scripts in shards other than 0; the files are read as resources."""
