"""Background jobs over HTTP: submit, poll, wait, list, cancel and retry."""
