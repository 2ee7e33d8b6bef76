SEEDS = tuple(range(30))
