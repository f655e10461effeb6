"""What is looked at: the built `page`, the API `reference`, and the `metrics`."""
