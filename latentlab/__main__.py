"""`python -m latentlab`, for torchrun and wherever the console script is not on the path."""

from latentlab.cli import main

main()
