"""Building blocks of options: numbers, names and lists that refuse what they do not understand."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Annotated, Any, Literal, ParamSpec, Self, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.names import unknown_name
from heterodyne_nb.options.problems import ConfigurationProblems, Problem, nearest, problems_of, shown
from heterodyne_nb.options.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")


class UnknownKeyword(ConfigurationError, TypeError):
    """A keyword that a function does not take; a TypeError as Python's own."""


class Options(BaseModel):
    """Settings that belong together: each with description, unit, range and default; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @classmethod
    def read(cls, values: Mapping[str, Any], *, where: str = "", kind: str = "setting") -> Self:
        """The options that keywords ask for.

        ``values``: Name to value. ``where``: What the name of a setting is told with, e.g. ``"trf"`` for
        ``trf.ftol``. ``kind``: What an unknown name is called.

        Raises ConfigurationError: Naming everything that is wrong: the setting, its value, what is allowed, the
        nearest name.
        """
        for name in values:
            if name not in cls.model_fields:
                raise unknown_name(name, cls.model_fields, kind)
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise cls.told(error, where=where) from None

    @classmethod
    def told(cls, error: ValidationError, *, where: str = "") -> ConfigurationError:
        """What a validation refused, as the error of a call."""
        problems = problems_of(error, cls, (where,) if where else ())
        if len(problems) > 1:
            return ConfigurationProblems(problems)
        place = error.errors()[0]["loc"]
        return as_error(problems[0], range_in_words(cls, str(place[0])) if place else "")

    @classmethod
    def default(cls, name: str) -> Any:
        """The default of a setting."""
        return cls.model_fields[name].get_default(call_default_factory=True)

    @classmethod
    def same(cls, name: str) -> Any:
        """The declaration of a setting, to be used again in another class."""
        return FieldInfo.merge_field_infos(cls.model_fields[name])

    def changed(self, **changes: Any) -> Self:
        """A copy with some settings changed.

        Raises ConfigurationError: There is no such setting, or its value is wrong.
        """
        return self.read({**dict(self), **changes})

    def stated(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as plain values."""
        values = self.model_dump()
        return {name: values[name] for name in values if getattr(self, name) != self.default(name)}


def as_error(problem: Problem, expected: str = "") -> ConfigurationError:
    """A problem by itself, as the error of a call."""
    allowed = expected or problem.allowed
    return ConfigurationError(
        problem.message, where=problem.path or None, expected=allowed or None, hint=problem.hint or None
    )


def limits(field: FieldInfo) -> dict[str, float]:
    """The range of a numeric setting: ``gt``, ``ge``, ``lt``, ``le``."""
    return {
        key: getattr(rule, key)
        for rule in field.metadata
        for key in ("gt", "ge", "lt", "le")
        if getattr(rule, key, None) is not None
    }


def unit_of(field: FieldInfo) -> str:
    """The unit of a setting; empty where it has none."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def range_in_words(model: type[BaseModel], name: str) -> str:
    """What a numeric setting with a range takes, e.g. ``"an integer, 0 or more"``; empty for any other one."""
    field = model.model_fields.get(name)
    ends = limits(field) if field is not None else {}
    if field is None or not ends:
        return ""
    whole = field.annotation is int or int in get_args(field.annotation)
    said = {"gt": "above {:g}", "ge": "{:g} or more", "lt": "below {:g}", "le": "at most {:g}"}
    words = " and ".join(said[key].format(end) for key, end in ends.items())
    if {"ge", "le"} <= set(ends):
        words = f"{ends['ge']:g} to {ends['le']:g}"
    comma = "," if "ge" in ends else ""
    unit = f" ({unit_of(field)})" if unit_of(field) not in ("", "1") else ""
    return f"{'an integer' if whole else 'a number'}{comma} {words}{unit}"


def keywords(options: type[Options] | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that an unknown keyword is our error, which names the nearest one.

    ``options``: Keywords that are settings of these are also checked, and handed on in their proper form.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        every = inspect.signature(function).parameters.values()
        known = [p.name for p in every if p.kind is p.KEYWORD_ONLY or p.kind is p.POSITIONAL_OR_KEYWORD]
        open_ended = any(p.kind is p.VAR_KEYWORD for p in every)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in known and not open_ended:
                    told = unknown_name(name, known, f"argument of {function.__name__}:")
                    raise UnknownKeyword(told.message, expected=told.expected, hint=told.hint)
            if options is not None:
                given = {name: value for name, value in kwargs.items() if name in options.model_fields}
                made = options.read(given)
                kwargs.update({name: getattr(made, name) for name in given})
            return function(*args, **kwargs)

        return checked

    return decorate


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


class Choice:
    """Marks a text that must spell a name of a registry, whatever is in it when the text is checked."""

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry

    def check(self, value: Any) -> str:
        """The name that a value spells, up to case and punctuation."""
        found = self.registry.spelt(value)
        if found is None:
            names = self.registry.names()
            likely = nearest(value, names)
            hint = f"did you mean {likely!r}?" if likely else ""
            raise refuse(f"unknown {self.registry.kind} {shown(value)}", ", ".join(names), hint)
        return found

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.registry.names())}


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The names that a setting chooses from now; none when it is free."""

    def inside(annotation: Any) -> tuple[str, ...]:
        for part in get_args(annotation):
            if isinstance(part, Choice):
                return part.registry.names()
            if found := inside(part):
                return found
        return ()

    own = (rule.registry.names() for rule in field.metadata if isinstance(rule, Choice))
    return next(own, ()) or inside(field.annotation)


def one_of(kind: str, *names: str, **aliases: str) -> Choice:
    """Marks a text that must be one of a few fixed names."""
    return Choice(Registry(kind, names, aliases=aliases))


def _number_or(*words: str, above: bool = False, most: float = math.inf) -> Callable[[Any], Any]:
    """A validator of a number from 0 on, or above 0, or one of some words."""
    span = " above 0" if above else ", 0 or more" if most == math.inf else f" from 0 to {most:g}"
    first, last = words[:-1], words[-1]
    allowed = f"a number{span}, {''.join(f'{word!r}, ' for word in first)}or {last!r}"

    def check(value: Any) -> Any:
        if isinstance(value, str):
            if value in words:
                return value
            raise refuse(f"{shown(value)} is neither a number nor a rule", allowed)
        number = a_number(value)
        if not 0 <= number <= most or (above and number == 0):
            raise refuse(f"{number:g} is out of range", allowed)
        return number

    return check


#: ``"auto"`` or a number above 0.
AutoOrPositive = Annotated[float | Literal["auto"], BeforeValidator(_number_or("auto", above=True))]
#: ``"auto"`` or a number, 0 or more.
AutoOrNotNegative = Annotated[float | Literal["auto"], BeforeValidator(_number_or("auto"))]
#: A radius from 0 to 1, or a rule that chooses one.
Share = Annotated[float | Literal["auto", "cv"], BeforeValidator(_number_or("auto", "cv", most=1.0))]
#: A radius, or a rule that chooses one.
ProfileRadius = Annotated[
    float | Literal["auto", "cv", "rwpi"], BeforeValidator(_number_or("auto", "cv", "rwpi"))
]
