"""Sections that describe the experiment: data, time, q and geometry."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from heterodyne_nb.options.fields import (
    Integer,
    OptionalInteger,
    OptionalNumber,
    OptionalPair,
    OptionalText,
    Section,
    a_list,
    a_number,
    refuse,
    setting,
)
from heterodyne_nb.options.problems import shown


def _q_choice(value: Any) -> Any:
    if value is None:
        return None
    wanted = a_list(value) if isinstance(value, list | tuple) else (value,)
    numbers = tuple(a_number(q) for q in wanted)
    if not numbers or min(numbers) <= 0:
        raise refuse(f"{shown(value)} holds no q, or one that is not positive", "q > 0 in 1/Å, or a list")
    return numbers if isinstance(value, list | tuple) else numbers[0]


def _q_list(value: Any) -> Any:
    if value is None:
        return None
    return _q_choice(value if isinstance(value, list | tuple) else [value])


def _angles(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return tuple(a_number(phi) for phi in a_list(value))


class Data(Section):
    """Where the data are."""

    file: OptionalText = setting(
        None, description="Data file; a relative path starts at the folder of this configuration."
    )
    folder: OptionalText = setting(
        None, description="Folder of the data file; relative to the folder of this configuration."
    )
    layout: OptionalText = setting(
        None, description="Name of the file layout, e.g. aps-u. Null: recognised by itself."
    )
    q: Annotated[tuple[float, ...] | None, BeforeValidator(_q_list)] = setting(
        None, description="q of each ring, for files that do not say it (plain arrays).", unit="1/Å"
    )
    phi: Annotated[tuple[float, ...] | str | None, BeforeValidator(_angles)] = setting(
        None,
        description="Azimuth of each wedge, or a text file of numbers, for files that do not say it.",
        unit="deg",
    )


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
