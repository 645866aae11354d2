"""Building blocks of the schema: numbers, names and lists that refuse what they do not understand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from heterodyne_nb.config.problems import nearest, shown


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def refuse(message: str, allowed: str = "", hint: str = "") -> PydanticCustomError:
    """Build the error of a validator: what is wrong, what is allowed, how to mend it."""
    context = {"message": message, "allowed": allowed, "hint": hint}
    return PydanticCustomError("setting", "{message}", context)


def setting(default: Any = ..., *, description: str, unit: str | None = None, **constraints: Any) -> Any:
    """Declare a field with its description, unit and range, all of which reach the JSON schema."""
    extra: Any = {"unit": unit} if unit else None
    if isinstance(default, type) or callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=extra, **constraints)
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def a_number(value: Any) -> Any:
    """Pass finite numbers; refuse texts, booleans, NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise refuse(f"{shown(value)} is not a number", "a finite number")
    if not math.isfinite(value):
        raise refuse(f"{float(value)} is not finite", "a finite number")
    return float(value)


def an_integer(value: Any) -> Any:
    """Pass whole numbers, also those written like 1e4; refuse everything else."""
    number = a_number(value)
    if not isinstance(value, Integral) and not number.is_integer():
        raise refuse(f"{number:g} is not a whole number", "an integer")
    return int(value)


def a_flag(value: Any) -> Any:
    """Pass true and false only."""
    if not isinstance(value, bool):
        raise refuse(f"{shown(value)} is neither true nor false", "true, false")
    return value


def a_text(value: Any) -> Any:
    """Pass texts only."""
    if not isinstance(value, str):
        raise refuse(f"{shown(value)} is not a text", "a text")
    return value


def a_list(value: Any) -> Any:
    """Pass lists and tuples only."""
    if not isinstance(value, list | tuple):
        raise refuse(f"{shown(value)} is not a list", "a list")
    return tuple(value)


def a_full_list(value: Any) -> Any:
    """Pass lists of at least one entry."""
    if not (entries := a_list(value)):
        raise refuse("is empty", "at least one entry")
    return entries


def a_pair(value: Any) -> Any:
    """Pass lists of two."""
    if len(pair := a_list(value)) != 2:
        raise refuse(f"{shown(value)} has {len(pair)} entries", "a list of two numbers")
    return pair


def _maybe(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


Number = Annotated[float, BeforeValidator(a_number)]
Integer = Annotated[int, BeforeValidator(an_integer)]
Flag = Annotated[bool, BeforeValidator(a_flag)]
Text = Annotated[str, BeforeValidator(a_text)]
Pair = Annotated[tuple[Number, Number], BeforeValidator(a_pair)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(a_list)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(a_list)]
OptionalNumber = Annotated[float | None, BeforeValidator(_maybe(a_number))]
OptionalInteger = Annotated[int | None, BeforeValidator(_maybe(an_integer))]
OptionalText = Annotated[str | None, BeforeValidator(_maybe(a_text))]
OptionalTexts = Annotated[tuple[str, ...] | None, BeforeValidator(_maybe(a_list))]
OptionalPair = Annotated[tuple[Number, Number] | None, BeforeValidator(_maybe(a_pair))]


def squeeze(name: str) -> str:
    """Return the letters and digits only, so that ``Nelder-Mead`` equals ``nelder_mead``."""
    return "".join(c for c in name.casefold() if c.isalnum())


def spelt(names: Sequence[str], aliases: dict[str, str] | None = None) -> Callable[[Any], Any]:
    """Return a validator that finds one of ``names`` whatever its case and punctuation."""
    known = {squeeze(name): name for name in names} | (aliases or {})

    def check(value: Any) -> Any:
        found = known.get(squeeze(value)) if isinstance(value, str) else None
        if found is None:
            likely = nearest(value, names)
            hint = f"did you mean {likely!r}?" if likely else ""
            raise refuse(f"unknown name {shown(value)}", ", ".join(names), hint)
        return found

    return check


def _auto_or_positive(value: Any) -> Any:
    if value == "auto":
        return value
    if isinstance(value, str):
        raise refuse(f"{shown(value)} is not a number", "a number > 0, or 'auto'")
    if a_number(value) <= 0:
        raise refuse(f"{value:g} is not positive", "a number > 0, or 'auto'")
    return float(value)


#: ``"auto"`` or a number > 0.
AutoOrPositive = Annotated[float | Literal["auto"], BeforeValidator(_auto_or_positive)]


def _auto_or_not_negative(value: Any) -> Any:
    if value == "auto" or (not isinstance(value, str) and a_number(value) == 0):
        return value if value == "auto" else 0.0
    return _auto_or_positive(value)


#: ``"auto"`` or a number >= 0.
AutoOrNotNegative = Annotated[float | Literal["auto"], BeforeValidator(_auto_or_not_negative)]
