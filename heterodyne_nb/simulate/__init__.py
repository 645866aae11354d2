"""Simulated experiments: model maps with noise, speckle from first principles, and the shipped example."""

from heterodyne_nb.simulate.example import example_dataset, example_path, example_truth
from heterodyne_nb.simulate.experiment import speckle
from heterodyne_nb.simulate.frames import frames
from heterodyne_nb.simulate.maps import model_maps

__all__ = ["example_dataset", "example_path", "example_truth", "frames", "model_maps", "speckle"]
