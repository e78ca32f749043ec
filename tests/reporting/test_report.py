"""``vinpaint-report``: the tables it writes, the page as a browser shows it, and what it says of a mistake."""

from __future__ import annotations

import csv
import json
import re
import shutil
import statistics
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from browser import Page, browser
from commands import Runner, run
from sweep_folder import NASTY, a_record, make_sweep, write_record
from vinpaint.report import main

__all__ = ["run"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("sweep") / "sttn_table3")


def report(run: Runner, sweep: Path, *options: str) -> str:
    outcome = run(main, str(sweep), f"output={run.folder}/report", *options)
    assert outcome.status == 0, outcome.err
    return outcome.out


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "report" / "report.csv").open(encoding="utf-8") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def test_a_row_is_the_mean_and_the_deviation_over_its_seeds(run: Runner, sweep: Path) -> None:
    report(run, sweep)
    row = rows(run.folder)["×2"]
    assert float(row["psnr"]) == pytest.approx(statistics.mean([29.11, 29.31]))
    assert float(row["psnr_deviation"]) == pytest.approx(statistics.stdev([29.11, 29.31]))
    assert (row["finished"], row["jobs"]) == ("2", "2")


def test_published_numbers_stand_beside_ours_with_the_difference(run: Runner, sweep: Path) -> None:
    out = report(run, sweep)
    found = rows(run.folder)
    assert float(found["×4"]["psnr_published"]) == 30.38
    assert float(found["×4"]["psnr_difference"]) == pytest.approx(30.51 - 30.38)
    assert list(found) == ["×2", "×4", "×6", "×8"]  # the paper's order
    assert float(found["×8"]["psnr_published"]) == 30.67  # published only
    assert found["×8"]["psnr"] == ""
    assert "STTN table 3" in out


def test_a_metric_measured_otherwise_has_no_difference(run: Runner, sweep: Path) -> None:
    out = report(run, sweep)
    row = rows(run.folder)["×2"]
    assert float(row["vfid_random_weights_published"]) == 0.19
    assert row["vfid_random_weights_difference"] == ""
    assert "vfid_random_weights and the published vfid are of one family but measured differently" in out


def test_what_keeps_numbers_apart_from_the_published_is_told_and_not_coloured(run: Runner, tmp_path: Path) -> None:
    record = a_record(0, "×4", seed=0, psnr=30.5, clips=[])
    write_record(tmp_path / "like" / "0", record)
    report(run, tmp_path / "like")
    assert 'paper up" data-value="0.12' in (run.folder / "report" / "report.html").read_text(encoding="utf-8")
    record["protocol"] = {"reasons": ["other masks"], "metric_reasons": {"ssim": ["another SSIM"]}}
    write_record(tmp_path / "unlike" / "0", record)
    out = report(run, tmp_path / "unlike")
    assert "not comparable with the published numbers: other masks; ssim: another SSIM" in out
    assert 'paper up"' not in (run.folder / "report" / "report.html").read_text(encoding="utf-8")


def test_the_best_is_bold_and_a_tie_of_all_is_not(run: Runner, sweep: Path) -> None:
    out = report(run, sweep)
    assert "| **30.51 ± 0.13** |" in out
    assert "**2.195" in out  # lower is better
    assert "**0.01200" not in out  # the same in all rows


def test_the_failed_job_is_told_with_its_error(run: Runner, sweep: Path) -> None:
    out = report(run, sweep)
    assert "job 4 failed: <b>no</b> memory" in out
    assert "5 jobs, 1 without a result" in out


def test_latex_escapes_and_balances(run: Runner, sweep: Path) -> None:
    report(run, sweep)
    text = (run.folder / "report" / "report.tex").read_text(encoding="utf-8")
    assert r"vfid\_random\_weights" in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    (layout,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    body = [line for line in text.splitlines() if line.startswith(r"$\times$")]
    assert len(body) == 4
    assert {line.count("&") + 1 for line in body} == {len(layout)}


def write_jobs(folder: Path, *settings: str) -> Path:
    for number, overrides in enumerate(settings):
        record = a_record(number, "×2", seed=number, psnr=20 + number, clips=[]) | {"sweep": None}
        record["overrides"] = [*overrides.split(), f"seed={number}", "dilation=4"]
        write_record(folder / str(number), record)
    return folder


def test_jobs_of_no_published_table_are_called_by_what_they_differ_in(run: Runner, tmp_path: Path) -> None:
    report(run, write_jobs(tmp_path / "jobs", "model=telea", "model=identity", "model=identity"))
    found = rows(run.folder)
    assert list(found) == ["telea", "identity"]
    assert float(found["identity"]["psnr"]) == 21.5
    report(run, write_jobs(tmp_path / "other", "model=telea", "weights=a.ckpt"))
    assert list(rows(run.folder)) == ["model=telea", "weights=a.ckpt"]


def test_other_holes_make_another_part_with_a_best_of_its_own(run: Runner, tmp_path: Path) -> None:
    settings = [f"model={model} mask={mask}" for model in ("a", "b") for mask in ("moving", "brush")]
    out = report(run, write_jobs(tmp_path / "jobs", *settings))
    lines = [[cell.strip() for cell in line.split("|")[1:4]] for line in out.splitlines() if line.startswith("| ")]
    assert lines[2:] == [
        ["a", "moving", "20.00"],
        ["b", "moving", "**22.00**"],
        ["a", "brush", "21.00"],
        ["b", "brush", "**23.00**"],
    ]


def test_the_page_stays_within_its_size(run: Runner, sweep: Path) -> None:
    report(run, sweep)
    large = (run.folder / "report" / "report.html").stat().st_size
    out = report(run, sweep, "max_megabytes=0.01")
    small = (run.folder / "report" / "report.html").stat().st_size
    assert small < 100_000 < large
    assert re.search(r"\d+ pictures and videos are left out: max_megabytes=0.01 is reached", out)


def test_a_plot_of_many_clips_shows_evenly_spread_ones(run: Runner, tmp_path: Path) -> None:
    record = a_record(0, "×2", seed=0, psnr=30, clips=[f"clip{number}" for number in range(400)])
    write_record(tmp_path / "jobs" / "0", record)
    report(run, tmp_path / "jobs")
    html = (run.folder / "report" / "report.html").read_text(encoding="utf-8")
    shown = set(re.findall(r"×2, (clip\d+): ", html))
    assert shown == {f"clip{number}" for number in range(0, 400, 3)}


def test_a_folder_without_results_is_one_line(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, message in (("empty", "no job left a result.json here"), ("nowhere", "no such folder")):
        outcome = run(main, str(tmp_path / folder))
        assert outcome.status == 2
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
    assert "which results?" in run(main).err


def test_nothing_is_fetched_and_no_text_of_a_run_becomes_code(run: Runner, sweep: Path) -> None:
    report(run, sweep)
    html = (run.folder / "report" / "report.html").read_text(encoding="utf-8")
    assert NASTY not in html
    assert "<script>document.title" not in html
    assert "<b>no</b> memory" not in html
    assert not re.search(r"""(?:src|href)=["'](?!#)""", html)
    assert "default-src 'none'" in unescape(html)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert len(json.loads(data)["values"]) == 5


@pytest.fixture(scope="module")
def shown(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    copied = shutil.copytree(sweep, folder / "a sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["vinpaint-report", str(copied)])
        main()
    with browser(folder / "profile") as page:
        page.look(width=1280)
        page.open(copied / "report" / "report.html")
        yield page


def column(page: Page, number: int) -> list[str]:
    cells = (
        f"[...document.querySelectorAll('.results tbody tr')].map(r => r.cells[{number}].dataset.value ?? r.cells[0]"
    )
    return page.value(f"{cells}.textContent.trim())")


def test_the_page_loads_without_a_word_in_the_console(shown: Page) -> None:
    assert shown.complaints == []
    assert shown.value("document.title") == "sttn_table3"  # the override did not run
    assert shown.value("document.querySelectorAll('script').length") == 2
    shown.until("[...document.images].every(picture => picture.complete && picture.naturalWidth > 0)")
    shown.until("[...document.querySelectorAll('video')].every(video => video.readyState > 0)")
    assert shown.value("document.querySelector('video').videoWidth") == 80
    assert shown.value("document.querySelectorAll('video').length") == 8  # per clip: hole, two rows, truth


def test_pictures_that_a_training_left_are_shown(shown: Page) -> None:
    (picture,) = shown.value("[...document.querySelectorAll('#left img')].map(p => [p.alt, p.naturalWidth])")
    assert picture == ["attention · 0000500_bear of job 0: ×2 (seed 0)", 60]


def test_a_click_on_a_head_sorts_the_best_to_the_top_and_back(shown: Page) -> None:
    head = ".results thead th:nth-child(2) button"
    shown.press(head)
    assert [value[:5] for value in column(shown, 1)] == ["30.51", "29.21", "", ""]
    assert shown.value("document.querySelector('.results th:nth-child(2)').ariaSort") == "descending"
    shown.press(head)
    assert [value[:5] for value in column(shown, 1)] == ["29.21", "30.51", "", ""]


def test_a_key_sorts_too(shown: Page) -> None:
    shown.value("document.querySelector('.results thead th:nth-child(3) button').focus()")
    shown.key("Enter", 13)
    assert column(shown, 2) == ["30.17", "30.38", "30.53", "30.67"]


def test_the_slider_moves_the_seam(shown: Page) -> None:
    seam = "document.querySelector('.stage').getBoundingClientRect()"
    at = f"(document.querySelector('.seam').getBoundingClientRect().x + 1 - {seam}.x) / {seam}.width"
    assert shown.value(at) == pytest.approx(0.5, abs=0.01)
    shown.press(".stage input", at=0.5, drag_to=0.8)
    assert shown.value(at) == pytest.approx(0.8, abs=0.04)
    shown.key("ArrowLeft", 37)
    assert shown.value("document.querySelector('.stage input').value") != "80"


def test_another_view_shows_another_picture(shown: Page) -> None:
    before = shown.value("document.querySelector('.compare .under').src")
    shown.value(
        "(select => { select.value = select.options.length - 1; select.dispatchEvent(new Event('change')) })"
        "(document.querySelector('.compare .right'))"
    )
    assert shown.value("document.querySelector('.compare .under').alt") == "truth"
    assert shown.value("document.querySelector('.compare .under').src") != before


def test_two_jobs_show_the_settings_in_which_they_differ(shown: Page) -> None:
    shown.value(
        "(select => { select.value = 2; select.dispatchEvent(new Event('change')) })(document.getElementById('second'))"
    )
    texts = shown.value("[...document.querySelectorAll('#settings tr')].map(r => [...r.cells].map(c => c.textContent))")
    assert texts == [["model.network.num_blocks", "2", "4"]]
    assert shown.value("document.getElementById('shared').textContent").startswith("1 setting differs")


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_as_wide_as_the_window(shown: Page, width: int) -> None:
    shown.look(width=width, phone=width < 500)
    assert shown.value("document.documentElement.scrollWidth") == width
    shown.look(width=1280)


def test_dark_is_dark(shown: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = shown.value(background)
    shown.look(width=1280, dark=True)
    assert shown.value(background) != light
    shown.look(width=1280)
