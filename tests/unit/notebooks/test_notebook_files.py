"""What is committed of the notebooks: outputs that belong to their code, and nothing that should not be there."""

from __future__ import annotations

import base64
import importlib.util
import io
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[3] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
LARGEST = 600_000  # bytes: what a code host still shows
CHECK = "NBVAL_CHECK_OUTPUT"
#: Paths of somebody's machine, which neither reader nor test needs.
MACHINE = re.compile(
    r"/(?:home|root|tmp|work|Users|opt|mnt|var/folders)/|site-packages|[A-Z]:\\\\|ipykernel_\d"
)
RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|0x[0-9a-f]{6,}")

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(path: Path) -> list[Any]:
    return [output for cell in code_cells(path) for output in cell.outputs]


@pytest.fixture(scope="module")
def refresh() -> Any:
    spec = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lessons_are_all_there() -> None:
    assert [path.name[:2] for path in LESSONS] == [f"{k:02d}" for k in range(1, len(LESSONS) + 1)]
    assert len(LESSONS) == 13
    index = (NOTEBOOKS[0].parent / "index.ipynb").read_text(encoding="utf-8")
    assert [path.stem for path in LESSONS if path.name not in index] == []
    assert {"index", "app", "gallery"} <= {path.stem for path in NOTEBOOKS}


@every
def test_it_was_run_once_from_top_to_bottom(path: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), f"run: python notebooks/refresh.py {path.name}"


@every
def test_its_outputs_are_those_of_its_code(path: Path, refresh: Any) -> None:
    notebook = read(path)
    ran = notebook.metadata.get("code_that_ran")
    assert ran == refresh.stamp(notebook), f"run: python notebooks/refresh.py {path.name}"


@every
def test_nothing_failed_or_complained_when_it_was_run(path: Path) -> None:
    assert [o.get("ename") for o in outputs(path) if o.output_type == "error"] == []
    assert [o.text for o in outputs(path) if o.get("name") == "stderr"] == []


@every
def test_checked_cells_have_outputs_that_can_be_compared(path: Path) -> None:
    checked = [cell for cell in code_cells(path) if CHECK in cell.source]
    for cell in checked:
        assert cell.outputs, f"no output of: {cell.source[:80]}"
        for output in cell.outputs:
            kinds = set(output.get("data", {"text/plain": ""}))
            assert kinds <= {"text/plain"}, f"only text is compared, here is {kinds}: {cell.source[:80]}"
            text = output.get("text") or output.data["text/plain"]
            assert not RANDOM.search(text), f"an identity that changes with every run: {text[:200]}"
    if path in LESSONS:
        assert checked, "a lesson without a number that is compared is no test"


@every
def test_it_keeps_neither_plotly_json_nor_widget_states(path: Path) -> None:
    kinds = {kind for output in outputs(path) for kind in output.get("data", {})}
    assert not {kind for kind in kinds if "plotly" in kind or "widget" in kind}
    assert "widgets" not in read(path).metadata


@every
def test_it_is_small_and_its_pictures_are_pictures(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    pictures = [o.data["image/png"] for o in outputs(path) if "image/png" in o.get("data", {})]
    assert all(base64.b64decode(picture).startswith(b"\x89PNG\r\n") for picture in pictures)
    linked = [
        cell for cell in read(path).cells if cell.cell_type == "markdown" and "](images/" in cell.source
    ]
    if path in LESSONS:
        assert pictures or linked, "a lesson reads well without a kernel: it keeps its pictures"


@every
def test_it_names_no_path_of_a_machine(path: Path) -> None:
    said = [cell.source for cell in read(path).cells]
    for output in outputs(path):
        said.append(output.get("text", ""))
        said += [str(text) for kind, text in output.get("data", {}).items() if not kind.startswith("image/")]
    assert [match.group() for text in said for match in MACHINE.finditer(text)] == []


@every
def test_what_it_links_to_is_there(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#\s]+)\)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
    missing = [link for link in links if "://" not in link and not (FOLDER / link).exists()]
    assert missing == []


def test_every_notebook_is_run_by_pytest(repository: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "notebooks"]
    listing = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    collected = set(re.findall(r"^notebooks/([^:]+)\.ipynb::", listing, flags=re.MULTILINE))
    assert collected == {path.stem for path in NOTEBOOKS if code_cells(path)}


def test_a_number_that_changed_fails(tmp_path: Path, repository: Path, refresh: Any) -> None:
    source = f"# {CHECK}\nprint(round(2 / 3, 3))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    refresh.run(notebook, tmp_path)
    refresh.tidy(notebook)
    right, wrong = tmp_path / "right.ipynb", tmp_path / "wrong.ipynb"
    nbformat.write(notebook, right)
    notebook.cells[0].outputs[0].text = "0.668\n"
    nbformat.write(notebook, wrong)
    config = ["-c", str(repository / "pyproject.toml"), f"--rootdir={tmp_path}"]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-n", "0", "--no-header", *config]
    told = subprocess.run([*command, str(right), str(wrong)], capture_output=True, text=True).stdout
    assert re.findall(r"^(PASSED|FAILED) (?:\S*/)?(\w+)\.ipynb", told, re.MULTILINE) == [
        ("PASSED", "right"),
        ("FAILED", "wrong"),
    ]
    assert "0.668" in told


def figure_notebook(path: Path) -> None:
    """A notebook of a text and a figure, with a picture of before."""
    cells = [
        "from heterodyne_nb import plots\nplots.keep_stills()",
        "import plotly.graph_objects as go\nprint('seen')\ngo.Figure(go.Scatter(y=[1, 2]))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.cells[1].outputs = [
        nbformat.v4.new_output("display_data", {"image/png": dot(), "text/plain": ""})
    ]
    nbformat.write(notebook, path)


def dot() -> str:
    packed = io.BytesIO()
    Image.new("P", (1, 1)).save(packed, "png")
    return base64.b64encode(packed.getvalue()).decode()


def kept(path: Path) -> list[list[Any]]:
    return [
        [o.get("text") or o.data for o in cell.outputs] for cell in nbformat.read(path, as_version=4).cells
    ]


@pytest.mark.usefixtures("without_browser")
def test_refreshing_without_a_browser_keeps_the_pictures_of_before(
    tmp_path: Path, refresh: Any, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "figure.ipynb"
    figure_notebook(path)
    refresh.main([str(path)])
    assert kept(path) == [[], ["seen\n", {"image/png": dot()}]]
    told = capsys.readouterr().out
    assert "no browser" in told
    assert "without a picture" not in told


@pytest.mark.browser
def test_refreshing_with_a_browser_draws_the_pictures_again(tmp_path: Path, refresh: Any) -> None:
    path = tmp_path / "figure.ipynb"
    figure_notebook(path)
    refresh.main([str(path)])
    empty, (seen, picture) = kept(path)
    assert (empty, seen, set(picture)) == ([], "seen\n", {"image/png"})
    assert picture["image/png"] != dot()


def test_a_figure_that_has_changed_has_no_picture_of_before(refresh: Any) -> None:
    def notebook(source: str, kind: str) -> Any:
        output = nbformat.v4.new_output("display_data", {kind: "of it"})
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, outputs=[output])])

    fresh = notebook("now", "application/vnd.plotly.v1+json")
    assert refresh.keep_pictures(fresh, notebook("then", "image/png")) == ", figures without a picture: 1"
    assert refresh.keep_pictures(fresh, notebook("now", "image/png")) == ""
    assert fresh.cells[0].outputs[0].data["image/png"] == "of it"


def test_refreshing_refuses_a_notebook_that_complains(tmp_path: Path, refresh: Any) -> None:
    cell = nbformat.v4.new_code_cell("import sys\nprint('beware', file=sys.stderr)")
    path = tmp_path / "loud.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=r"loud.ipynb is left as it was.*\n.*beware"):
        refresh.main([str(path)])
    assert path.read_bytes() == before
