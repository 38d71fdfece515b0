"""Training runs: data in, a bundle of weights with its card out."""

from skyloom.training.run import train

__all__ = ["train"]
