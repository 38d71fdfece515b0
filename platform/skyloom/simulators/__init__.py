"""Fake skies: seeded simulations with their truth, for training, tests and examples."""
