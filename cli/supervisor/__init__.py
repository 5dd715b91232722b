"""Child processes of finops serve: started, watched, restarted and stopped."""
