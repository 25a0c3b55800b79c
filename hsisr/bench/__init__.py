"""Networks side by side: trained on equal terms, tested once, and told apart in tables."""
