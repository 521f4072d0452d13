"""The page: complete, self-contained, and safe whatever the data say."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from PIL import Image, ImageStat

from kformer.errors import KformerError
from kformer.report.settings import About, Found, Varied
from kformer.report.write_report import write_report

from .test_provenance_tables import PROVENANCE

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""


@pytest.fixture
def written(tmp_path, study):
    """The text of the report of a small study."""

    def write(about=None, **changes):
        runs = study(**changes)
        comparison, out = tmp_path / "comparison.json", tmp_path / "report.html"
        questions, tables = tmp_path / "questions.parquet", tmp_path / "tables"
        given = About(**{"facts": {"kformer": tmp_path / "facts.parquet"}} | (about or {}))
        write_report(comparison, runs, questions, given, out, tables)
        return out.read_text("utf-8")

    return write


def test_it_needs_no_other_file_and_no_network(written):
    page = written()
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert all(address.startswith("#") for address in addresses)
    assert "url(" not in page.replace("url(#", "") and "@import" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_it_has_headline_tables_figures_and_cases(written):
    page = written()
    assert "65.0 points above none" in page
    for part in ("Results", "Figures", "Details", "Cases to read", "How to read this"):
        assert f">{part}<" in page
    assert page.count("<svg") == 5  # accuracy, ladder, cost, curves, reliability
    assert page.count("<article>") == 10


def test_what_the_data_say_is_text(written):
    page = written()
    assert "&lt;b&gt;Some&lt;/b&gt; context." in page and "<b>Some" not in page
    assert "Fact &lt;0&gt;." in page
    assert "Which &amp; why?" in page


def test_its_elements_are_closed(written):
    open_elements = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "br", "path", "use"}:
                open_elements.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            if tag not in {"path", "use"}:
                assert open_elements.pop() == tag

    Checker().feed(written())
    assert open_elements == []


def test_colours_of_figures_are_those_of_the_page(written):
    page = written()
    figures = page[page.index("<svg") :]
    assert "#ffffff" not in figures and "#0072b2" not in figures
    assert "var(--blue)" in figures


def test_retrieval_published_numbers_and_varied_settings_are_shown(written, tmp_path):
    numbers = tmp_path / "retrieval.json"
    numbers.write_text(json.dumps({"facts_per_query": 3.0, "gold_recall_at_5": 0.925}))
    page = written(
        {
            "dataset": "social_iqa",
            "retrievals": [Found(conditions=["kformer"], numbers=numbers)],
            "varied": [Varied(setting="model.facts", values={"none": 1, "kformer": 5})],
        }
    )
    assert "among the first 5 %" in page and "92.5" in page
    assert "Unicorn-11B" in page
    assert "Accuracy by model.facts" in page
    assert "found at all %" not in page  # nobody measured it


def test_where_the_numbers_come_from_is_on_the_page(tmp_path, study):
    runs, provenance = study(), tmp_path / "provenance.json"
    provenance.write_text(json.dumps(PROVENANCE))
    out, tables, questions = (tmp_path / name for name in ("r.html", "tables", "questions.parquet"))
    comparison = tmp_path / "comparison.json"
    write_report(comparison, runs, questions, About(), out, tables, provenance)
    page = out.read_text()
    assert "c" * 40 in page and "snakemake none" in page
    assert (tables / "runs.csv").is_file()


def test_the_same_results_give_the_same_bytes(written):
    assert written() == written()


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no chromium is installed")
@pytest.mark.parametrize("width", [1100, 500])
def test_a_browser_shows_it_light_and_dark(written, tmp_path, width):
    written()

    def look(*options):
        """How bright the page is, from 0 to 255, in a profile that was never used."""
        shot = tmp_path / "shot.png"
        browser = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", *options]
        browser += ["--disable-background-networking", "--hide-scrollbars"]
        browser += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1200"]
        browser += [f"--screenshot={shot}", (tmp_path / "report.html").as_uri()]
        subprocess.run(browser, capture_output=True, check=True)
        with Image.open(shot) as image:
            return ImageStat.Stat(image.convert("L")).mean[0]

    assert look() > 200
    assert look("--blink-settings=preferredColorScheme=0") < 80


def test_a_comparison_that_is_missing_is_one_line(tmp_path):
    missing = tmp_path / "comparison.json"
    with pytest.raises(KformerError, match="there is no such file"):
        write_report(missing, [], missing, About(), tmp_path / "r.html", tmp_path / "t")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "not JSON"), ("[]", "no JSON object"), ("{}", "this is no provenance.json")],
)
def test_a_provenance_of_another_kind_is_one_line(tmp_path, study, content, said):
    runs, provenance = study(), tmp_path / "provenance.json"
    provenance.write_text(content)
    comparison, questions = tmp_path / "comparison.json", tmp_path / "questions.parquet"
    out, tables = tmp_path / "r.html", tmp_path / "tables"
    with pytest.raises(KformerError, match=said):
        write_report(comparison, runs, questions, About(), out, tables, provenance)
    assert not out.exists()


def test_runs_that_were_not_compared_are_one_line(tmp_path, study):
    runs = study()
    comparison, questions = tmp_path / "comparison.json", tmp_path / "questions.parquet"
    with pytest.raises(KformerError, match="retrieval-only: not both"):
        write_report(comparison, runs[:-1], questions, About(), tmp_path / "r", tmp_path / "t")
