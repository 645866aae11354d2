"""What the README says can be done, can be done as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heterodyne_nb.cli.convert import WRITERS
from heterodyne_nb.config import MODES
from heterodyne_nb.data.formats import LAYOUTS
from heterodyne_nb.errors import DataWarning
from heterodyne_nb.options import METHOD_OPTIONS as CLASSICAL_METHODS


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def test_the_first_commands_are_the_two_that_ci_runs(readme: str) -> None:
    assert _blocks(readme, "bash")[0].splitlines() == [
        'pip install -e ".[app]" && heterodyne-nb demo',
        'pip install -e ".[test]" && pytest',
    ]


def test_the_python_of_the_readme_runs_as_written(
    readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import heterodyne_nb as hn

    (block,) = _blocks(readme, "python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with pytest.warns(DataWarning, match="phi = 90°"):  # the example's dead sector
        exec(compile(block, "README.md", "exec"), names)
    assert names["result"].success
    assert "D0_sample" in capsys.readouterr().out
    assert hn.FitResult.load(tmp_path / "results.nc") == names["result"]
    assert (tmp_path / "fit.html").stat().st_size > 1e6


def test_every_file_the_readme_links_to_is_there(readme: str, repository: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]
    assert links
    assert [link for link in links if not (repository / link).is_file()] == []


def test_the_tables_list_every_layout_mode_and_method(readme: str) -> None:
    names = {layout.name for layout in LAYOUTS} | set(MODES) | set(CLASSICAL_METHODS)
    assert [name for name in sorted(names) if f"`{name}`" not in readme] == []
    written = re.findall(r"^\|[^|]*\| `([a-z-]+)` \|[^|]*\| yes[^|]*\|$", readme, flags=re.MULTILINE)
    assert set(written) == set(WRITERS)


def test_every_folder_the_readme_names_is_there_and_none_is_left_out(readme: str, repository: Path) -> None:
    package = repository / "heterodyne_nb"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", readme, flags=re.MULTILINE)) == folders
