"""Cases, their tensors and their strategies."""
