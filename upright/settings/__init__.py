"""How a configuration comes about: which keys there are, what the sources say, and what is refused."""
