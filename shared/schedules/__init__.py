"""Schedules: requests that become jobs at the times of a cron expression or at an interval."""
