"""nn.GRU evaluated by other frameworks and runtimes: each file is a recipe."""
