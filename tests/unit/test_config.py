"""The configuration system in the words of the architecture page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heterodyne_nb import ConfigManager, HeterodyneAnalysisCore
from heterodyne_nb.errors import ConfigurationError

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture
def sample_config() -> dict[str, Any]:
    return {
        "analysis_settings": {"static_mode": True, "static_submode": "isotropic"},
        "initial_parameters": {"values": [1000, -0.5, 100]},
    }


def test_the_sample_file_is_the_sample_configuration_and_is_valid(sample_config: dict[str, Any]) -> None:
    path = FIXTURES / "sample_config.json"
    assert json.loads(path.read_text()) == sample_config
    config = ConfigManager(config_path=str(path))
    assert config.validate() is True
    assert config.get_analysis_settings()["static_mode"] is True
    assert config.get_analysis_settings()["initial_values"] == [1000.0, -0.5, 100.0]


def test_validate_is_false_for_a_wrong_file_and_the_problems_say_what_to_mend(
    sample_config: dict[str, Any], tmp_path: Path
) -> None:
    sample_config["initial_parameters"]["values"] = [1000, -5, 100]
    sample_config["temporal"] = {"dt": 0}
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(sample_config))
    config = ConfigManager(str(path))
    assert config.validate() is False
    assert len(config.problems) == 2
    assert "-2 (default)" in str(config.problems[-1])


def test_a_wrong_configuration_cannot_be_used_by_the_core(sample_config: dict[str, Any]) -> None:
    sample_config["temporal"] = {"dt": 0}
    core = HeterodyneAnalysisCore(ConfigManager.from_dict(sample_config))
    with pytest.raises(ConfigurationError, match=r"temporal\.dt"):
        core.load_experimental_data()
