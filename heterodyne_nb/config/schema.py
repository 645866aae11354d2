"""The one schema of a configuration: every setting with its description, unit and range."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from heterodyne_nb.config.experiment import Data, Geometry, Scattering, Temporal
from heterodyne_nb.options.fields import (
    Flag,
    OptionalInteger,
    OptionalText,
    Section,
    Text,
    a_list,
    setting,
    spelt,
)
from heterodyne_nb.config.filters import AngleFiltering, Masks
from heterodyne_nb.config.initial import InitialParameters
from heterodyne_nb.config.optimization import Optimization
from heterodyne_nb.config.resolve import MODES

_MODE_ALIASES = {"twocomponent": "heterodyne", "laminar": "laminar_flow"}

Mode = Annotated[
    Literal[
        "static_isotropic",
        "static_anisotropic",
        "laminar_flow",
        "heterodyne",
        "heterodyne_equilibrium",
        "kww",
        "multicomponent",
    ],
    BeforeValidator(spelt(MODES, _MODE_ALIASES)),
]


class Metadata(Section):
    """What the analysis is called; kept with the results."""

    title: OptionalText = setting(None, description="One line that names the analysis.")
    description: OptionalText = setting(None, description="What was measured, and why.")
    sample: OptionalText = setting(None, description="The sample.")
    authors: Annotated[tuple[Text, ...], BeforeValidator(a_list)] = setting((), description="Who did it.")


class AnalysisSettings(Section):
    """Which model describes the data."""

    mode: Mode = setting(description="Analysis mode, which fixes the model and its parameters.")
    n_components: OptionalInteger = setting(
        None, description="Number of components, for mode multicomponent only.", ge=2, le=6
    )


OutputFormat = Annotated[
    Literal["netcdf", "zarr", "json", "csv", "html", "nexus"],
    BeforeValidator(spelt(("netcdf", "zarr", "json", "csv", "html", "nexus"), {"nc": "netcdf"})),
]


class Output(Section):
    """What is written, and where."""

    directory: Text = setting(
        "heterodyne_results", description="Folder for results; relative to the working directory."
    )
    formats: Annotated[tuple[OutputFormat, ...], BeforeValidator(a_list)] = setting(
        ("netcdf", "json", "csv", "html"), description="Files written."
    )
    plots: Flag = setting(True, description="Whether figures are written.")


class Settings(Section):
    """A whole configuration.

    Build it with ``ConfigManager``, whose errors list every problem in plain words.
    """

    analysis_settings: AnalysisSettings = setting(description="Which model describes the data.")
    metadata: Metadata = setting(Metadata, description="What the analysis is called.")
    data: Data = setting(Data, description="Where the data are.")
    temporal: Temporal = setting(Temporal, description="Time step and frames used.")
    scattering: Scattering = setting(Scattering, description="Which q are used.")
    geometry: Geometry = setting(Geometry, description="The flow cell.")
    initial_parameters: InitialParameters = setting(
        InitialParameters, description="Start values, roles, bounds and priors of the parameters."
    )
    optimization: Optimization = setting(Optimization, description="How the model is fitted.")
    angle_filtering: AngleFiltering = setting(AngleFiltering, description="Which azimuths are fitted.")
    masks: Masks = setting(Masks, description="Frames that are left out.")
    output: Output = setting(Output, description="What is written, and where.")

    @property
    def mode(self) -> str:
        """The analysis mode."""
        return self.analysis_settings.mode
