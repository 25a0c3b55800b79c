"""Networks compared: trained on equal terms, tested once, and ranked in tables."""
