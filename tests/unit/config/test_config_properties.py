"""Properties: nothing is lost between formats, and no misspelt key goes unnoticed."""

from __future__ import annotations

import contextlib
import json
import string
import warnings
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from heterodyne_nb.config import PARAMETERS, ConfigManager
from heterodyne_nb.errors import ConfigurationError, ConfigurationWarning

FEW = settings(max_examples=25, deadline=None)
CONFIGS = Path(__file__).parents[2] / "fixtures" / "configs"

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
positive = st.floats(1e-12, 1e12)
fractions = st.floats(0.01, 0.99)


@st.composite
def initial_parameters(draw, mode):
    specs = PARAMETERS[mode]
    chosen = draw(st.lists(st.sampled_from(specs), unique=True))
    section = {
        "values": {s.name: s.lower + draw(fractions) * (s.upper - s.lower) for s in specs},
        "bounds": {s.name: [s.lower, s.upper + draw(fractions)] for s in chosen},
        "priors": {s.name: [draw(st.floats(-1e6, 1e6)), draw(positive)] for s in chosen},
        "use_priors": draw(st.booleans()),
    }
    if draw(st.booleans()):
        section["active_parameters"] = [s.name for s in specs if s not in chosen]
        section["use_priors"] = False
    if draw(st.booleans()):
        section["values"] = list(section["values"].values())
    return section


@st.composite
def configurations(draw):
    mode = draw(st.sampled_from(["static_isotropic", "laminar_flow", "heterodyne", "kww"]))
    first = draw(st.integers(1, 10**6))
    return {
        "analysis_settings": {"mode": mode},
        "metadata": {
            "title": draw(texts),
            "description": draw(texts),
            "authors": draw(st.lists(texts, max_size=3)),
        },
        "data": {
            "file": draw(texts),
            "phi": draw(st.none() | texts | st.lists(st.floats(-360, 360), max_size=4)),
        },
        "temporal": {
            "dt": draw(st.none() | positive),
            "start_frame": first,
            "end_frame": draw(st.sampled_from([-1, None, first, first + 7])),
        },
        "scattering": draw(
            st.fixed_dictionaries(
                {"wavevector_q": st.none() | positive | st.lists(positive, min_size=1, max_size=3)}
            )
        ),
        "geometry": {"gap": draw(st.none() | positive)},
        "initial_parameters": draw(initial_parameters(mode)),
        "optimization": {
            "loss": draw(st.sampled_from(["linear", "huber", "tukey"])),
            "loss_scale": draw(st.just("auto") | positive),
            "robust": {"wasserstein": {"radius": draw(st.just("auto") | st.floats(0, 1e3))}},
            "classical": {
                "methods": draw(st.lists(st.sampled_from(["trf", "gurobi", "lbfgsb"]), min_size=1))
            },
        },
        "angle_filtering": {
            "enabled": draw(st.booleans()),
            "target_ranges": [{"min_angle": 170.0, "max_angle": draw(st.floats(-360, 160))}],
        },
        "masks": {"frames": draw(st.lists(st.integers(1, 99) | st.just([3, 9]), max_size=4))},
    }


@pytest.mark.parametrize("extension", ["json", "yaml", "toml"])
@FEW
@given(values=configurations())
def test_a_saved_configuration_loads_equal(tmp_path, extension, values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)  # priors of parameters that are not active
        config = ConfigManager.from_dict(values)
        loaded = ConfigManager(config.save(tmp_path / f"c.{extension}"))
    assert loaded.settings == config.settings
    assert loaded.parameters == config.parameters
    assert loaded == config


def key_paths(value, prefix=()):
    for key, inner in value.items():
        if prefix[-1:] not in (("values",), ("bounds",)):
            yield (*prefix, key)
        if isinstance(inner, dict):
            yield from key_paths(inner, (*prefix, key))


PATHS = list(key_paths(ConfigManager.template("heterodyne").to_dict()))


def misspell(draw, name):
    """One letter too many, too few, wrong, or two swapped."""
    place = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from(string.ascii_lowercase))
    kinds = [
        name[:place] + letter + name[place:],
        name[:place] + name[place + 1 :],
        name[:place] + letter + name[place + 1 :],
        name[:place] + name[place + 1 : place + 2] + name[place] + name[place + 2 :],
    ]
    return draw(st.sampled_from(kinds))


@FEW
@given(data=st.data())
def test_any_misspelt_key_is_reported_with_the_valid_name(data):
    path = data.draw(st.sampled_from(PATHS))
    values = ConfigManager.template("heterodyne").to_dict()
    home = values
    for name in path[:-1]:
        home = home[name]
    wrong = misspell(data.draw, path[-1])
    assume(wrong and wrong not in home and not wrong.startswith("_"))
    assume((path[:-1], wrong) != (("analysis_settings",), "mode"))
    home[wrong] = home.pop(path[-1])
    with pytest.raises(ConfigurationError) as caught:
        ConfigManager.from_dict(values).require_valid()
    found = [p for p in caught.value.problems if p.path == ".".join((*path[:-1], wrong))]
    assert len(found) == 1
    assert path[-1] in found[0].allowed or path[-1] in found[0].hint


@FEW
@given(data=st.data())
def test_any_misspelt_parameter_is_reported_with_the_valid_name(data):
    name = data.draw(st.sampled_from([s.name for s in PARAMETERS["heterodyne"]]))
    wrong = misspell(data.draw, name)
    known = {s.name for s in PARAMETERS["heterodyne"]}
    assume(wrong and wrong not in known | {"phi_0"} and not wrong.startswith("_"))
    values = {"analysis_settings": {"mode": "heterodyne"}, "initial_parameters": {"bounds": {wrong: [0, 1]}}}
    with pytest.raises(ConfigurationError) as caught:
        ConfigManager.from_dict(values).require_valid()
    (problem,) = caught.value.problems
    assert name in problem.allowed.split(", ")


FOREIGN = json.loads((CONFIGS / "heterodyne_gel.json").read_text())
FOREIGN_PATHS = [p for p in key_paths(FOREIGN) if not any(part.startswith("_") for part in p)]


@FEW
@given(data=st.data())
def test_no_misspelt_key_of_a_foreign_template_is_ignored_in_silence(data):
    path = data.draw(st.sampled_from(FOREIGN_PATHS))
    values = json.loads(json.dumps(FOREIGN))
    home = values
    for name in path[:-1]:
        home = home[name]
    wrong = misspell(data.draw, path[-1])
    assume(wrong and wrong not in home and not wrong.startswith("_"))
    home[wrong] = home.pop(path[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)
        config = ConfigManager.from_dict(values)
    try:
        config.require_valid()
        said = ""
    except ConfigurationError as error:
        said = str(error)
    assert wrong in said + "\n".join(config.notes)


@FEW
@given(
    junk=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    path=st.sampled_from(PATHS + FOREIGN_PATHS),
)
def test_any_value_anywhere_is_accepted_or_refused_in_our_words(junk, path):
    own = path in PATHS
    values = ConfigManager.template("heterodyne").to_dict() if own else json.loads(json.dumps(FOREIGN))
    home = values
    for name in path[:-1]:
        home = home[name]
    home[path[-1]] = junk
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)
        config = ConfigManager.from_dict(values)
    with contextlib.suppress(ConfigurationError):
        config.require_valid()


@pytest.mark.parametrize("name", ["0E0", "1e3", ".5", "7", ".nan", "0x1", "yes"])
def test_a_text_that_reads_like_a_number_is_saved_to_yaml_as_a_text(tmp_path, name):
    manager = ConfigManager.from_dict({"analysis_settings": {"mode": "kww"}, "data": {"file": name}})
    manager.save(tmp_path / "c.yaml")
    assert ConfigManager(tmp_path / "c.yaml").settings.data.file == name
