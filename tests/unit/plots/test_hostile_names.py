"""Names and texts from files, made to break out of every kind of text that is generated."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shlex
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr
from plot_samples import make_result

from heterodyne_nb import plots
from heterodyne_nb.analysis import campaign
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.entries import FitEntry, FitSettings, default_table
from heterodyne_nb.app.session.script import entry_script
from heterodyne_nb.cli import main
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.data import open_dataset, write_dataset
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.report import cards, flattened, heading, page, paragraph, table
from heterodyne_nb.result import FitResult
from heterodyne_nb.result.files import write_result
from heterodyne_nb.text import escaping, html

NAMES = [
    'a"""\nimport os\nos.abort()\n""".h5',
    "a\\",
    'a\\"""; x',
    "a\nimport os",
    "a\r\u2028import os",
    "'); import os; ('",
    "{evil} %(evil)s ${evil}",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "<b>bold</b><a href='https://evil.example'>here</a>",
    "x: !!python/object/apply:os.abort [] # ",
    "a\n- b: [\n",
    "$(touch pwned)`touch pwned`; touch pwned",
    "-rf *",
    "=cmd|'/c calc'!A1",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.h5",
    "not utf-8 \udcff.h5",
    "data...",
]


#: Those that mean something to a page, for whole reports and figures; all of them go through each of their pieces.
MARKUP = [name for name in NAMES if "<" in name or '"' in name]
#: Those that are no plain line of text or that a table takes for a formula, for the writers of files.
UNUSUAL = [name for name in NAMES if not (name.isascii() and name.isprintable()) or name[0] == "="]
TEMPLATE = ConfigManager.template("heterodyne")

plain_result = cache(make_result)


@cache
def result_of(name: str) -> FitResult:
    """A result all of whose texts say `name`."""
    told = {
        "source": name,
        "source_sha256": name,
        "layout": name,
        "date": name,
        "config": {"mode": name, "method": name, name: {name: [name]}, "parameters": {name: {"value": 1.0}}},
        "selection": {"q": [0.01]},
        "versions": {"heterodyne_nb": name, name: name},
        "used": [name],
    }
    step = {"strategy": name, "start": name, "iterations": 1, "chi2_reduced": 1.0, "message": name}
    return make_result(message=name, method=name, provenance=told, path=[step])


def entry_of(name: str, message: str, **changes: Any) -> FitEntry:
    settings = FitSettings(mode="heterodyne")
    return FitEntry(
        name="fit 1",
        kind="fit",
        results={"gauss_newton": plain_result(message=message)},
        settings=settings,
        parameters=default_table("heterodyne"),
        source=name,
        **changes,
    )


def shape(script: str) -> str:
    """What a script does, whatever its texts say."""
    tree = ast.parse(script)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = "text"
    return ast.dump(tree)


class Elements(HTMLParser):
    """The elements of a page with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))


@pytest.mark.parametrize("name", NAMES)
def test_the_script_of_a_result_does_the_same_whatever_its_texts_are(name: str):
    script = result_of(name).to_script()
    assert shape(script) == shape(result_of("plain").to_script())
    assert repr(name) in script
    script.encode("utf-8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("message", ["converged", "time limit: {}"])
def test_the_script_of_a_session_does_the_same_whatever_the_file_is_called(name: str, message: str):
    path = f"/data/{name}"
    script = entry_script(entry_of(path, message.format(name)), ())
    assert shape(script) == shape(entry_script(entry_of("plain", message.format("plain")), ()))
    assert repr(path) in script
    script.encode("utf-8")


def test_a_session_on_a_file_with_a_hostile_name_writes_a_script_that_only_fits(
    experiment: xr.Dataset, tmp_path: Path
):
    path = tmp_path / 'a"""; boom(); """.nc'
    session = AnalysisSession()
    session._append(entry_of(str(path), "converged"))
    session._change("show", shown=0)
    tree = ast.parse(session.to_script())
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called == {"hnb.open_dataset", "hnb.fit", "print", "result.summary"}


@pytest.mark.parametrize("key", ["q=__import__('os').abort(), r", "class", "", "a b"])
def test_a_recorded_argument_that_is_no_name_is_refused(key: str):
    entry = entry_of("run.h5", "converged", source_options={key: 1})
    with pytest.raises(ConfigurationError, match="is no name of an argument"):
        entry_script(entry, ())


@pytest.fixture(scope="module")
def elements(
    experiment: xr.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], set[tuple[str, ...]]]:
    """What the report of a result is made of all of whose texts say a name."""
    page = tmp_path_factory.mktemp("report") / "report.html"

    @cache
    def of(text: str) -> set[tuple[str, ...]]:
        ds = experiment.isel(q=[0], phi=[0]).assign_attrs(source=text)
        plots.report(ds, result_of(text), page, notes=[text], warnings=[text])
        return set(Elements(page.read_text(encoding="utf-8")).found)

    return of


@pytest.mark.parametrize("name", MARKUP)
def test_the_report_page_has_no_element_that_a_text_brought(
    name: str, elements: Callable[[str], set[tuple[str, ...]]]
):
    assert elements(name) == elements("plain")


@pytest.mark.parametrize("name", NAMES)
def test_the_pieces_of_pages_have_no_element_that_a_text_brought(name: str):
    def pieces(text: str) -> list[tuple[str, ...]]:
        parts = [
            page(text, [heading(text), paragraph(text)], theme="light", interactive=False),
            cards({text: text}),
            table([text], [[text]], ["dim"]),
            table((), flattened({text: {text: [text]}})),
            html.heading(text) + html.alert(text) + html.bullets([text]),
            html.table([text], [[text]]) + html.folded(text, ""),
            result_of(text)._repr_html_(),
        ]
        return Elements("".join(parts)).found

    assert pieces(name) == pieces("plain")


@pytest.mark.parametrize("name", MARKUP)
def test_a_figure_shows_a_name_as_it_is_and_its_page_runs_nothing_of_it(
    name: str, experiment: xr.Dataset, tmp_path: Path
):
    ds = experiment.isel(q=[0], phi=[0]).assign_attrs(source=name)
    ds["intensity"] = ("t", [1.0] * ds.sizes["t"], {"units": name})
    figures = [
        plots.c2(ds),
        plots.intensity(ds),
        plots.compare_results({name: plain_result()}),
        plots.comparison(ds, plain_result()),
    ]
    for figure in figures:
        text = figure.to_json()
        for tag in re.findall("<[a-z/][^>]*>", name):
            assert json.dumps(tag)[1:-1] not in text.replace("\\u003c", "<").replace("\\u003e", ">")
        path = plots.save_html(figure, tmp_path / "figure.html")
        made = path.read_text(encoding="utf-8")
        assert made.count("<script") == made.count("</script>")
        assert "alert(1)</script>" not in made


@pytest.mark.parametrize("name", NAMES)
def test_the_text_report_stays_on_its_lines_and_steers_no_terminal(name: str):
    lines = result_of(name).summary().splitlines()
    assert len(lines) == len(result_of("plain").summary().splitlines())
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["yaml", "json", "toml"])
def test_a_configuration_says_a_name_and_nothing_more(name: str, form: str, tmp_path: Path):
    if form == "toml" and "\udcff" in name:
        pytest.skip("TOML has no way to write such a name")
    path = TEMPLATE.updated({"data.file": name}).save(tmp_path / f"config.{form}")
    again = ConfigManager(path)
    assert again.settings.data.file == name
    assert again.updated({"data.file": None}) == TEMPLATE.updated({"data.file": None})


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_saved_forms_of_a_result_hold_a_name_as_it_is(name: str, tmp_path: Path):
    result = result_of(name)
    summary = json.loads(result.save(tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["provenance"]["source"] == name
    assert FitResult.load(result.save(tmp_path / "results.nc")).provenance["source"] == name
    result.save(tmp_path / "results.nxs")
    result.save(tmp_path / "parameters.csv")


def test_data_from_a_file_whose_name_is_no_utf_8_can_be_saved(experiment: xr.Dataset, tmp_path: Path):
    ds = experiment.isel(q=[0], phi=[0]).assign_attrs(source="run \udcff.h5")
    for suffix in (".nc", ".zarr"):
        write_dataset(ds, tmp_path / f"own{suffix}")
        assert open_dataset(tmp_path / f"own{suffix}").attrs["source"] == "run \\udcff.h5"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a"\n"=1', "a,=1"])
def test_every_text_cell_of_a_table_stays_in_its_place_and_is_no_formula(text: str, tmp_path: Path):
    result = plain_result()
    record = result.dataset.assign(unit=("parameter", [text] * result.dataset.sizes["parameter"]))
    record = record.assign_coords(parameter=[text, *map(str, record["parameter"].values[1:])])
    with write_result(record, tmp_path / "p.csv").open(newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    assert {len(head), *map(len, rows)} == {7}
    assert len(rows) == len(result.values)
    first = rows[0]
    assert first[0] == first[3]
    assert first[0].strip("'") == escaping.printable(text)
    assert first[0][0] not in "=+-@\t\r"
    assert float(first[1]) == result.dataset["parameters"].values[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_runs_holds_a_name_in_one_cell_that_is_no_formula(name: str):
    frame = pd.DataFrame({name: [1.0], "path": [name]}, index=pd.Index([name], name="run"))
    head, row = csv.reader(io.StringIO(escaping.csv_table(frame)))
    assert (len(head), len(row)) == (3, 3)
    assert {cell[0] for cell in (*head, *row)}.isdisjoint("=+-@\t\r")
    without = escaping.csv_table(frame.reset_index(drop=True))
    assert [len(one) for one in csv.reader(io.StringIO(without))] == [2, 2]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["run", "config", "output"])
def test_a_job_script_runs_nothing_that_a_name_says(name: str, place: str, tmp_path: Path):
    def made(text: str) -> str:
        names = {"run": "run.h5", "config": "config.yaml", "output": "out", place: text.replace("/", "∕")}
        run, config, output = (tmp_path / names[one] for one in ("run", "config", "output"))
        return campaign.job_script([run], config, output)

    def words(script: str) -> list[int]:
        lines = [line for line in script.splitlines() if not line.startswith("#SBATCH --output=")]
        return [len(shlex.split(line.removeprefix("# "))) for line in lines if "heterodyne-nb batch" in line]

    if not name.isprintable():
        with pytest.raises(ConfigurationError, match="can stand in no script"):
            made(name)
        return
    script = made(name)
    assert len(script.splitlines()) == len(made("plain").splitlines())
    assert words(script) == words(made("plain"))


@pytest.mark.parametrize("name", NAMES)
def test_a_command_to_copy_names_the_file_in_one_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert shlex.split(f"fit {escaping.shell_word(name)}")[1].removeprefix("./") == name
    assert not escaping.shell_word(name).startswith("-")
    monkeypatch.chdir(tmp_path)
    path = Path(name.replace("/", "∕") + ".yaml")
    assert main(["config", f"--output={path}"]) == 0
    assert path.exists()
    told = capsys.readouterr().out
    assert told.isprintable() or told.strip().replace("\n", "").isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_an_error_about_a_hostile_name_steers_no_terminal(name: str, capsys: pytest.CaptureFixture[str]):
    assert main(["fit", f"./{name}.json"]) == 2
    told = capsys.readouterr().err
    assert all(line.isprintable() for line in told.split("\n"))
