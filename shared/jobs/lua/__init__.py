"""The scripts that make every change of a job atomic."""
