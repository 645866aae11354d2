"""Simulated experiments: model maps with noise, speckle from first principles, and the shipped example."""

from heterodyne_nb.simulate.example import example_dataset, example_path, example_truth
from heterodyne_nb.simulate.experiment import frames, model_maps, speckle

__all__ = ["example_dataset", "example_path", "example_truth", "frames", "model_maps", "speckle"]
