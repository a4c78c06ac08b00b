"""What a server measures of itself and tells others: metrics, and traces where OpenTelemetry is installed."""
