"""Models by name: the built-in ones, those registered by hand, and those installed as plugins."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.heterodyne import HeterodyneModel, MulticomponentModel
from heterodyne_nb.models.homodyne import LaminarFlowModel, StaticModel
from heterodyne_nb.models.model import Model
from heterodyne_nb.models.one_time import built_in
from heterodyne_nb.models.plugin import ModelPlugin, PluginParameters, adapt_plugin
from heterodyne_nb.models.splines import FREE, SplineModel
from heterodyne_nb.options import MODES
from heterodyne_nb.options.registry import installed

#: Entry-point group in which installed packages announce model plugins.
ENTRY_POINT_GROUP = "heterodyne_nb.models"

_BUILT_IN: dict[str, Callable[[], Model]] = {
    "static_isotropic": lambda: StaticModel("static_isotropic"),
    "static_anisotropic": lambda: StaticModel("static_anisotropic"),
    "laminar_flow": LaminarFlowModel,
    "heterodyne": HeterodyneModel,
    "heterodyne_free": lambda: SplineModel(HeterodyneModel()),
    **built_in(),
    **{f"multicomponent_{n}": lambda n=n: MulticomponentModel(n) for n in range(2, 7)},  # type: ignore[misc]
}
_registered: dict[str, Callable[[], Model]] = {}


def _installed() -> dict[str, Any]:
    return installed(ENTRY_POINT_GROUP)


def _load_installed(name: str, point: Any) -> Model:
    """Installed plugins are loaded when they are asked for, so that a broken one breaks no other."""
    try:
        return adapt_plugin(_instance(point.load()))
    except Exception as problem:
        raise ConfigurationError(
            f"model plugin {name!r} ({point.value}) cannot be used: {type(problem).__name__}: {problem}",
            hint="mend or uninstall the package that announces it",
        ) from problem


def _instance(plugin: Any) -> ModelPlugin | Model:
    try:
        instance = plugin() if isinstance(plugin, type) else plugin
    except TypeError as problem:  # an abstract method is missing, or __init__ wants arguments
        raise ConfigurationError(
            f"{plugin.__name__} cannot be created: {problem}",
            hint="write what is missing, or register an instance",
        ) from problem
    if isinstance(instance, ModelPlugin) or (isinstance(instance, Model) and hasattr(instance, "name")):
        return instance
    raise ConfigurationError(
        f"{plugin!r} is no model", expected="a ModelPlugin, or a model with a name, such as a SeparableModel"
    )


class ModelFactory:
    """Creates models by analysis mode."""

    @staticmethod
    def names() -> list[str]:
        """Every mode that can be created now."""
        return sorted({*_BUILT_IN, *_registered, *_installed()})

    @staticmethod
    def create_model(analysis_mode: str, *, n_components: int | None = None) -> Any:
        """Create the model of an analysis mode.

        Parameters
        ----------
        analysis_mode : str
            For instance ``"heterodyne"``; ``"multicomponent"`` takes ``n_components``.
        n_components : int, optional
            Number of components, 2 to 6 (only for ``"multicomponent"``; 2 when not given).

        Raises
        ------
        ConfigurationError
            (a ValueError) for an unknown mode, naming the known ones.
        """
        name = str(analysis_mode)
        if name == "multicomponent":
            return MulticomponentModel(2 if n_components is None else n_components)
        if n_components is not None:
            raise ConfigurationError(
                f"n_components = {n_components!r} is given, but mode {name!r} has a fixed number of components",
                expected="none, or mode 'multicomponent'",
            )
        if name in _registered:
            return _registered[name]()
        if name in _BUILT_IN:
            return _BUILT_IN[name]()
        point = _installed().get(name)
        if point is not None:
            return _load_installed(name, point)
        base, numbers = _free_form(name)
        if base:
            return SplineModel(ModelFactory.create_model(base), numbers)
        known = ModelFactory.names()
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigurationError(
            f"unknown analysis mode {name!r}",
            expected=f"one of {', '.join(known)}",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )

    @staticmethod
    def register(
        plugin: type[ModelPlugin | Model] | ModelPlugin | Model, *, parameters: PluginParameters | None = None
    ) -> str:
        """Make a model of one's own known for this session and return its name.

        Parameters
        ----------
        plugin : ModelPlugin or Model, or a class of them
            A :class:`ModelPlugin` (a function), or a model such as a :class:`SeparableModel` (curves).
        parameters : mapping or sequence, optional
            Parameters of a plugin, in the order of its ``params``: a mapping of name to start value or to
            ``dict(value=, min=, max=, unit=, description=)``, :class:`ParameterSpec` objects, or names. Without: its
            attribute ``parameters``, or as read from its code; see :class:`ModelPlugin`. Limits that are not given lie
            a factor of 1000 from the start value.

        Raises
        ------
        ConfigurationError
            If the name is not a plain word, is taken by a built-in model, or no parameters are named.
        """
        instance = _instance(plugin)
        name = instance.get_model_name() if isinstance(instance, ModelPlugin) else instance.name
        if not re.fullmatch(r"[A-Za-z]\w*", name) or name in _BUILT_IN or name == "multicomponent":
            raise ConfigurationError(
                f"a plugin cannot be called {name!r}", expected="a plain word that no built-in model uses"
            )
        model = adapt_plugin(instance, parameters)
        _registered[name] = lambda: model
        return name

    @staticmethod
    def unregister(name: str) -> None:
        """Forget a model registered by hand."""
        _registered.pop(name, None)


def _free_form(name: str) -> tuple[str, tuple[int, ...]]:
    """Base and pieces of the splines of a name such as ``heterodyne_free_1_4_8_2``; an empty base for other names."""
    found = re.fullmatch(rf"(\w+?){FREE}((?:_[1-9]\d*)*)", name)
    if found is None or found[1] not in ModelFactory.names():
        return "", ()
    return found[1], tuple(int(n) for n in found[2].split("_")[1:])


MODES.more = ModelFactory.names
MODES.member = lambda name: bool(_free_form(name)[0])
