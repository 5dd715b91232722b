"""Where spending stands and leads: limit status, forecasts, anomalies, alerts."""
