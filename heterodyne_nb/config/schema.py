"""The one schema of a configuration: its sections, made of the options where there are such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    InstanceOf,
    PlainSerializer,
    SerializeAsAny,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from heterodyne_nb.config.parameters import MODES, MULTICOMPONENT, resolve_parameters
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.parameters import ParameterTable
from heterodyne_nb.options import (
    METHOD_OPTIONS,
    METHODS,
    EllipsoidalOptions,
    ExecutionOptions,
    FitOptions,
    GaussNewtonOptions,
    GurobiOptions,
    LBFGSBOptions,
    NelderMeadOptions,
    Options,
    RobustMethodOptions,
    RobustOptions,
    ScenarioOptions,
    TRFOptions,
    WassersteinOptions,
    method_options,
)
from heterodyne_nb.options import MODES as KNOWN_MODES
from heterodyne_nb.options import Options as Section
from heterodyne_nb.options.fields import (
    Choice,
    Flag,
    Integer,
    Number,
    OptionalInteger,
    OptionalNumber,
    OptionalPair,
    OptionalText,
    OptionalTexts,
    Pair,
    Text,
    Texts,
    a_full_list,
    a_list,
    a_number,
    an_integer,
    one_of,
    refuse,
    setting,
)
from heterodyne_nb.options.fit import CommonOptions, Method, a_size, an_executor, method_settings
from heterodyne_nb.options.problems import (
    ConfigurationProblems,
    Problem,
    nearest,
    problems_of,
    raise_if_any,
    shown,
    unknown_name,
)
from heterodyne_nb.options.registry import Registry
from heterodyne_nb.options.robust import RobustMethods, RobustPrice


class Metadata(Section):
    """What the analysis is called; kept with the results."""

    title: OptionalText = setting(None, description="One line that names the analysis.")
    description: OptionalText = setting(None, description="What was measured, and why.")
    sample: OptionalText = setting(None, description="The sample.")
    authors: Annotated[tuple[Text, ...], BeforeValidator(a_list)] = setting((), description="Who did it.")


#: What a configuration may name as its mode: N components are one mode there, their number beside it.
CONFIG_MODES: Registry[Any] = Registry("mode", MODES, aliases=KNOWN_MODES.aliases)
CONFIG_MODES.member = KNOWN_MODES.member
CONFIG_MODES.more = lambda: [n for n in KNOWN_MODES.names() if not n.startswith(f"{MULTICOMPONENT}_")]


class AnalysisSettings(Section):
    """Which model describes the data."""

    mode: Annotated[str, Choice(CONFIG_MODES)] = setting(
        description="Analysis mode, which fixes the model and its parameters."
    )
    n_components: OptionalInteger = setting(
        None, description="Number of components, for mode multicomponent only.", ge=2, le=6
    )

    @model_validator(mode="before")
    @classmethod
    def _number_in_the_name(cls, values: Any) -> Any:
        """``multicomponent_3`` is multicomponent with three components, as a fit calls it."""
        mode = values.get("mode") if isinstance(values, Mapping) else None
        base, _, count = mode.rpartition("_") if isinstance(mode, str) else ("", "", "")
        if (
            base != MULTICOMPONENT
            or not count.isdigit()
            or values.get("n_components") not in (None, int(count))
        ):
            return values
        return {**values, "mode": base, "n_components": int(count)}


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
    analysis: OptionalText = setting(
        None, description="Which of several analyses in the file. Null: the file's own default."
    )
    units: dict[str, Text] = setting(
        dict, description='Units that the file does not say or says wrong: name and unit, e.g. "tau": "ms".'
    )
    keep_empty: Flag = setting(False, description="Keep rings and sectors in which no bin holds any data.")
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

    gap: OptionalNumber = FitOptions.same("gap")


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


def _values(given: Any) -> Any:
    """Pass numbers by name or in a list; say which one is no number."""
    if given is None:
        return None
    if not isinstance(given, dict | list | tuple):
        raise refuse(f"{shown(given)} is neither", "a list of numbers, or a mapping of names to numbers")
    entries = given.items() if isinstance(given, dict) else enumerate(given)
    wrong = [f"[{key}] = {shown(value)}" for key, value in entries if not _is_number(value)]
    if wrong:
        raise refuse(f"{', '.join(wrong)} not finite numbers", "finite numbers")
    return given if isinstance(given, dict) else tuple(given)


def _is_number(value: Any) -> bool:
    try:
        a_number(value)
    except ValueError:
        return False
    return True


class InitialParameters(Section):
    """Start values, roles, bounds and priors of the published parameters."""

    values: Annotated[dict[str, float] | tuple[float, ...] | None, BeforeValidator(_values)] = setting(
        None,
        description="Start values by name, or as a list in published order (or that of parameter_names). "
        "Null: guessed from the data.",
    )
    parameter_names: OptionalTexts = setting(
        None, description="Names that a list of values belongs to, in its order. Null: the published order."
    )
    active_parameters: OptionalTexts = setting(
        None, description="Names of the parameters that are fitted; all others are fixed. Null: all are."
    )
    fixed: Texts = setting(
        (), description="Names of parameters held at their values; contrast and offset too."
    )
    tied: dict[str, Text] = setting(
        dict, description="Parameter to the parameter of the same unit that it always equals."
    )
    bounds: dict[str, Pair] = setting(
        dict,
        description="Parameter to [lower, upper] in its unit; the others keep their default bounds. contrast and offset may stand here, too.",
    )
    priors: dict[str, Pair] = setting(
        dict, description="Parameter to [mean, standard deviation] of a Gaussian prior, in its unit."
    )
    scopes: dict[str, Text] = setting(
        dict,
        description="One-time modes: parameter to how it differs over bins: shared (the default), q, phi, each, or a law, "
        "power, diffusive, flow, linear. The numbers of a law are called Gamma.mid, Gamma.n … and may stand in the other settings.",
    )
    calibration: dict[str, Any] = setting(
        dict,
        description="Contrast (or offset) as measured on a static sample: rows [q in 1/Å, phi in degrees or null for "
        "all, value, error]. Listed in fixed, it is held there; otherwise a prior.",
    )
    use_priors: Flag = setting(
        True, description="Whether the priors take part in the fit; false keeps them on record only."
    )


def _with_registered_methods(schema: dict[str, Any]) -> None:
    """Tell the JSON schema of the sections that registered methods may have."""
    schema["additionalProperties"] = False
    for name in METHODS.names():
        if name not in METHOD_OPTIONS:
            schema["properties"][name] = method_options(name).model_json_schema()


class Classical(Section):
    """Least-squares fits; the configured methods run in turn and the best result is kept.

    A registered method may have a section of its own beside those of the built-in ones.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra=_with_registered_methods)
    __pydantic_extra__: dict[str, SerializeAsAny[InstanceOf[Options]]]

    methods: Annotated[tuple[Method, ...], BeforeValidator(a_full_list)] = setting(
        (FitOptions.default("method"),), description="Methods that run, in this order."
    )
    gauss_newton: GaussNewtonOptions = setting(GaussNewtonOptions, description="Settings of gauss_newton.")
    nelder_mead: NelderMeadOptions = setting(NelderMeadOptions, description="Settings of nelder_mead.")
    lbfgsb: LBFGSBOptions = setting(LBFGSBOptions, description="Settings of lbfgsb.")
    trf: TRFOptions = setting(TRFOptions, description="Settings of trf.")
    gurobi: GurobiOptions = setting(GurobiOptions, description="Settings of gurobi.")

    @model_validator(mode="before")
    @classmethod
    def _sections_of_registered_methods(cls, values: Any) -> Any:
        """Read them by their own options; what is wrong is handed on in place of the value, to be told by its path."""
        if not isinstance(values, Mapping):
            return values
        read = dict(values)
        for name in set(values) - set(cls.model_fields):
            if (method := METHODS.spelt(name)) is not None and isinstance(values[name], Mapping):
                try:
                    read[name] = method_options(method).read(values[name])
                except ConfigurationError as error:
                    read[name] = error
        return read

    def options(self, method: str) -> dict[str, Any]:
        """Return the settings of one method that are not null, as its strategy's constructor takes them."""
        section = getattr(self, method, None) or method_options(method)()
        return {name: value for name, value in section.model_dump().items() if value is not None}


class Robust(RobustMethodOptions, RobustPrice):
    """Min-max fits against a shifted law of the data or a mis-set instrument."""

    methods: RobustMethods = RobustOptions.same("methods")
    wasserstein: WassersteinOptions = setting(WassersteinOptions, description="Settings of wasserstein.")
    scenario: ScenarioOptions = setting(ScenarioOptions, description="Settings of scenario.")
    ellipsoidal: EllipsoidalOptions = setting(EllipsoidalOptions, description="Settings of ellipsoidal.")


class Multistart(Section):
    """The search for start values."""

    n: OptionalInteger = FitOptions.same("multistart")
    seed: Integer = FitOptions.same("seed")


class Optimization(CommonOptions):
    """How the model is fitted to the data."""

    classical: Classical = setting(Classical, description="Least-squares methods.")
    robust: Robust = setting(Robust, description="Robust methods.")
    multistart: Multistart = setting(Multistart, description="The search for start values.")
    via: str = FitOptions.same("via")
    integral: str = FitOptions.same("integral")


OutputFormat = Annotated[
    str, one_of("format", "netcdf", "zarr", "json", "csv", "text", "html", "nexus", nc="netcdf")
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


class Execution(ExecutionOptions):
    """Where the work is done, and in how much memory; no number depends on it."""

    executor: Annotated[str | None, BeforeValidator(an_executor)] = ExecutionOptions.same("executor")
    memory: Annotated[str, BeforeValidator(a_size)] = ExecutionOptions.same("memory")


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
    execution: Execution = setting(Execution, description="Where the work is done, and in how much memory.")

    @property
    def mode(self) -> str:
        """The analysis mode."""
        return self.analysis_settings.mode

    @property
    def model(self) -> str:
        """The mode as a fit calls it, the number of components in its name."""
        chosen = self.analysis_settings
        return chosen.mode if chosen.n_components is None else f"{chosen.mode}_{chosen.n_components}"

    def _common(self) -> dict[str, Any]:
        chosen = self.optimization
        shared = {name: getattr(chosen, name) for name in CommonOptions.model_fields}
        return {"mode": self.model, **shared, "gap": self.geometry.gap}

    def fit_options(self, method: str | None = None) -> FitOptions:
        """The settings of a fit by one method; by the first that is configured when none is named."""
        chosen = self.optimization
        method = method or chosen.classical.methods[0]
        return FitOptions(
            **self._common(),
            multistart=chosen.multistart.n,
            seed=chosen.multistart.seed,
            method=method,
            via=chosen.via,
            integral=chosen.integral,
            options=method_settings(method, chosen.classical.options(method)),
        )

    def robust_options(self) -> RobustOptions:
        """The settings of the robust fits."""
        robust = self.optimization.robust
        shared = (*RobustMethodOptions.model_fields, *RobustPrice.model_fields, "methods")
        return RobustOptions(
            **self._common(),
            **{name: getattr(robust, name) for name in shared},
            radius={n: s.radius for n in robust.methods if (s := getattr(robust, n, None)) is not None},
            n_scenarios=robust.scenario.n_scenarios,
            cvar=robust.scenario.cvar,
            seed=robust.scenario.seed,
            calibration=robust.ellipsoidal.tolerances.model_dump(),
        )


def settings_by_path(options: FitOptions) -> dict[str, Any]:
    """Where each setting of a fit stands in a configuration: dotted path to value."""
    shared = {f"optimization.{name}": getattr(options, name) for name in CommonOptions.model_fields}
    return {
        "analysis_settings": {"mode": options.mode},
        **shared,
        "optimization.classical.methods": [options.method],
        f"optimization.classical.{options.method}": dict(options.options),
        "optimization.multistart.n": options.multistart,
        "optimization.multistart.seed": options.seed,
        "optimization.via": options.via,
        "optimization.integral": options.integral,
        "geometry.gap": options.gap,
    }


def validate_settings(
    values: Mapping[str, Any],
    *,
    where: str | None = None,
    earlier: list[Problem] | None = None,
    also_known: Sequence[str] = (),
) -> tuple[Settings, ParameterTable]:
    """Turn plain values into settings and the parameter table they ask for.

    ``values``: Sections of the schema. ``where``: Name of the file, for the error. ``earlier``: What was found wrong
    before, to be listed too. ``also_known``: Further names of sections that a misspelt one may mean.

    Raises ConfigurationError: Listing every problem of every section.
    """
    problems = list(earlier or [])
    sections: dict[str, Any] = {}
    for name in values:
        if name not in Settings.model_fields:
            problems.append(_unknown_section(name, also_known))
    for name, field in Settings.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        if name in values or not field.is_required():
            sections[name] = _section(name, section, values.get(name, {}), problems)
        else:
            hint = "give analysis_settings.mode"
            text = f"is missing: {(field.description or '').rstrip('.')}"
            problems.append(Problem(name, text, "", hint))
    table = None
    if sections.get("analysis_settings") and sections.get("initial_parameters"):
        table = _table(sections, problems)
    raise_if_any(problems, where=where)
    assert table is not None
    return Settings(**sections), table


def _unknown_section(name: str, also_known: Sequence[str]) -> Problem:
    problem = unknown_name(str(name), name, Settings.model_fields, kind="section")
    likely = nearest(name, (*Settings.model_fields, *also_known))
    return replace(problem, hint=f"did you mean {likely!r}?") if likely else problem


def _section(name: str, model: type[BaseModel], value: Any, problems: list[Problem]) -> BaseModel | None:
    if value is None:
        value = {}
    if not isinstance(value, Mapping | BaseModel):
        fields = ", ".join(model.model_fields)
        problems.append(Problem(name, f"{shown(value)} is not a section", f"a section with {fields}"))
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems.extend(problems_of(error, model, (name,)))
        return None


def _table(sections: dict[str, Any], problems: list[Problem]) -> ParameterTable | None:
    """Resolve the parameters, whatever the other sections are like."""
    parts = {k: sections[k] for k in ("analysis_settings", "initial_parameters")}
    try:
        return resolve_parameters(Settings.model_construct(**parts))
    except ConfigurationProblems as error:
        problems.extend(error.problems)
        return None
