"""Right implementations, which no law may accuse."""
