"""Sections that leave data out: angles and bad frames."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from heterodyne_nb.options.fields import Flag, Number, Section, a_list, an_integer, refuse, setting
from heterodyne_nb.options.problems import shown


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
