"""A target beside nn.GRU: same weights, same tensors, masks recorded and injected."""
