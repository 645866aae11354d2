"""Charts: the coordinates in which the parameters of one curve are fitted, and the way back.

A chart maps the published parameters of a block, theta[indices], to raw coordinates of the same number in which the
curve depends evenly on each and its physical limits are a box.
"""

from heterodyne_nb.models.charts.base import Block, Chart, Times
from heterodyne_nb.models.charts.fraction import FractionChart
from heterodyne_nb.models.charts.power import PositiveChart, PowerChart
from heterodyne_nb.models.charts.transport import TransportChart

__all__ = ["Block", "Chart", "FractionChart", "PositiveChart", "PowerChart", "Times", "TransportChart"]
