"""Training of generators: presets, schedule, losses, generator average, and the loop that puts them together."""
