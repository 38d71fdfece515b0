"""Scores, calibration and splits: how good a column is, said with its uncertainty."""

from skyloom.evaluation.run import evaluate
from skyloom.evaluation.scores import ScoreTable

__all__ = ["ScoreTable", "evaluate"]
