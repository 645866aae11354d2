"""How the next fit is made: one frozen value that a panel edits and a script writes."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ValidationError, model_validator

from heterodyne_nb.models import ModelFactory
from heterodyne_nb.options import FitOptions


class FitSettings(FitOptions):
    """Arguments of :func:`heterodyne_nb.fit` besides data and parameters; they mean the same.

    Raises
    ------
    ConfigurationError
        A name or number is wrong; raised when the value is made.
    """

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise self.told(error) from None

    @model_validator(mode="after")
    def _named_as_the_model(self) -> Self:
        object.__setattr__(self, "mode", ModelFactory.create_model(self.mode).name)
        return self
