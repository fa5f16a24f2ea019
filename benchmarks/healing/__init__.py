"""A campaign of faults in real components, and how many of them are healed, how soon, and that none is by mistake."""
