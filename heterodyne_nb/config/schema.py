"""The one schema of a configuration: every setting with its description, unit and range."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from heterodyne_nb.config.fields import (
    Flag,
    Integer,
    Number,
    OptionalInteger,
    OptionalNumber,
    OptionalPair,
    OptionalText,
    Section,
    Text,
    a_list,
    a_number,
    an_integer,
    refuse,
    setting,
    spelt,
)
from heterodyne_nb.config.initial import InitialParameters
from heterodyne_nb.config.optimization import Optimization
from heterodyne_nb.config.problems import shown
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


def _q_choice(value: Any) -> Any:
    if value is None:
        return None
    wanted = a_list(value) if isinstance(value, list | tuple) else (value,)
    numbers = tuple(a_number(q) for q in wanted)
    if not numbers or min(numbers) <= 0:
        raise refuse(f"{shown(value)} holds no q, or one that is not positive", "q > 0 in 1/Å, or a list")
    return numbers if isinstance(value, list | tuple) else numbers[0]


def _angles(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return tuple(a_number(phi) for phi in a_list(value))


def _frame_ranges(value: Any) -> Any:
    return tuple(_frame_range(entry) for entry in a_list(value))


def _frame_range(entry: Any) -> tuple[int, int]:
    first, last = entry if isinstance(entry, list | tuple) and len(entry) == 2 else (entry, entry)
    if isinstance(first, list | tuple):
        raise refuse(f"{shown(entry)} is no frame range", "a frame number, or [first, last]")
    first, last = an_integer(first), an_integer(last)
    if first < 1 or last < first:
        raise refuse(f"{shown(entry)} is no frame range", "1 <= first <= last; frames are numbered from 1")
    return first, last


def _short(ranges: tuple[tuple[int, int], ...]) -> list[int | list[int]]:
    return [first if first == last else [first, last] for first, last in ranges]


FrameRanges = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_frame_ranges),
    PlainSerializer(_short),
    WithJsonSchema(
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {
                        "type": "array",
                        "items": {"type": "integer", "minimum": 1},
                        "minItems": 2,
                        "maxItems": 2,
                    },
                ]
            },
        }
    ),
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
        None, description="Number of components, for mode multicomponent only.", ge=2, le=8
    )


class Data(Section):
    """Where the data are."""

    file: OptionalText = setting(
        None, description="Data file; a relative path starts at the folder of this configuration."
    )
    folder: OptionalText = setting(
        None, description="Folder of the data file; relative to the folder of this configuration."
    )
    layout: OptionalText = setting(None, description="Name of the file layout. Null: recognised by itself.")
    q: Annotated[tuple[float, ...] | None, BeforeValidator(lambda v: None if v is None else _q_list(v))] = (
        setting(None, description="q of each ring, for files that do not say it (plain arrays).", unit="1/Å")
    )
    phi: Annotated[tuple[float, ...] | str | None, BeforeValidator(_angles)] = setting(
        None,
        description="Azimuth of each wedge, or a text file of numbers, for files that do not say it.",
        unit="deg",
    )


def _q_list(value: Any) -> Any:
    return _q_choice(value if isinstance(value, list | tuple) else [value])


class Temporal(Section):
    """Time step and the frames used. Frame k, counted from 1, is at time k * dt."""

    dt: OptionalNumber = setting(
        None, description="Time between frames. Null: taken from the data file.", unit="s", gt=0
    )
    start_frame: Integer = setting(1, description="First frame used, counted from 1.", ge=1)
    end_frame: OptionalInteger = setting(
        None, description="Last frame used, inclusive. Null or -1: the last one of the file.", ge=1
    )

    @model_validator(mode="before")
    @classmethod
    def _minus_one_is_the_last(cls, values: Any) -> Any:
        last = values.get("end_frame") if isinstance(values, dict) else None
        return {**values, "end_frame": None} if last == -1 and not isinstance(last, bool) else values

    @model_validator(mode="after")
    def _in_order(self) -> Temporal:
        if self.end_frame is not None and self.end_frame < self.start_frame:
            raise refuse(
                f"end_frame {self.end_frame} is before start_frame {self.start_frame}",
                "start_frame <= end_frame, both inclusive; -1 or null for the last frame",
            )
        return self

    @property
    def frames(self) -> tuple[int, int | None]:
        """First and last frame, 1-based and inclusive; None for the last of the file."""
        return self.start_frame, self.end_frame


class Scattering(Section):
    """Which q are used."""

    wavevector_q: Annotated[float | tuple[float, ...] | None, BeforeValidator(_q_choice)] = setting(
        None, description="The q nearest to this one is used, or those nearest to each of a list.", unit="1/Å"
    )
    q_range: OptionalPair = setting(
        None, description="All q from the first to the second number are used.", unit="1/Å"
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Scattering:
        if self.q_range is not None and self.wavevector_q is not None:
            raise refuse("wavevector_q and q_range are both given", "one of the two")
        if self.q_range is not None and not 0 <= self.q_range[0] < self.q_range[1]:
            raise refuse(f"q_range {list(self.q_range)} is empty", "0 <= first < second, in 1/Å")
        return self

    @property
    def selection(self) -> float | list[float] | tuple[float, float] | None:
        """The choice as ``open_dataset(q=...)`` takes it: a number, a list, or a range (tuple)."""
        chosen = self.wavevector_q
        return self.q_range if chosen is None else list(chosen) if isinstance(chosen, tuple) else chosen


class Geometry(Section):
    """The flow cell."""

    gap: OptionalNumber = setting(
        None, description="Gap across which the flow is sheared; mode laminar_flow needs it.", unit="Å", gt=0
    )


class AngleRange(Section):
    """One range of azimuths, from min_angle counter-clockwise to max_angle."""

    min_angle: Number = setting(description="First angle.", unit="deg", ge=-360, le=360)
    max_angle: Number = setting(
        description="Last angle; the range may cross ±180.", unit="deg", ge=-360, le=360
    )

    @model_validator(mode="after")
    def _not_empty(self) -> AngleRange:
        if self.min_angle == self.max_angle:
            raise refuse(f"the range from {self.min_angle:g} to {self.max_angle:g} is empty", "two angles")
        return self


class AngleFiltering(Section):
    """Which azimuths take part in the fit."""

    enabled: Flag = setting(False, description="Whether only the target ranges are fitted.")
    target_ranges: Annotated[tuple[AngleRange, ...], BeforeValidator(a_list)] = setting(
        (), description="Ranges of azimuth that are fitted; equal modulo 360."
    )
    fallback_to_all_angles: Flag = setting(
        False, description="Whether to fit all angles, with a warning, when no angle is in any range."
    )

    @model_validator(mode="after")
    def _has_ranges(self) -> AngleFiltering:
        if self.enabled and not self.target_ranges:
            raise refuse("enabled, but target_ranges is empty", "at least one {min_angle, max_angle}")
        return self

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The ranges in force, in degrees; none when the filter is off."""
        return tuple((r.min_angle, r.max_angle) for r in self.target_ranges) if self.enabled else ()


class Masks(Section):
    """Frames that are left out."""

    frames: FrameRanges = setting(
        (), description="Bad frames, counted from 1: numbers, or [first, last] inclusive."
    )
    detect: Flag = setting(False, description="Whether bad frames are also looked for in the data.")


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
