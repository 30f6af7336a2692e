"""The report holds everything in one file, says what the folders say, and escapes it."""

import html.parser
import json
import re

import pytest
from PIL import Image

from base.errors import UserError
from tests.making.run_folders import make_run, metrics_line
from trainers.report import curves, page
from trainers.run_folder.records import find_records, read_record

HOSTILE = """<script>alert('x')</script>"><img src=x onerror=alert(1)>&amp;"""


class Elements(html.parser.HTMLParser):
    """Every start tag of a page: (name, attributes)."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def evaluation(classes=5):
    return {
        "protocol": "center_crop",
        "split": "validation",
        "images": 20,
        "top1": 0.55,
        "top5": 0.8,
        "top1_interval": [0.5, 0.6],
        "per_class": {f"n{label:08d}": label / classes for label in range(classes)},
        "most_confused": [["n00000001", "n00000003", 7], ["n00000002", "n00000000", 4]],
    }


def test_the_page_needs_nothing_but_itself(tmp_path):
    run = make_run(tmp_path)
    Image.new("RGB", (300, 200), (200, 30, 30)).save(run.directory / "contact_sheet.png")
    text = page.page(find_records(tmp_path))
    for tag, attributes in Elements(text).found:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
        assert tag not in ("iframe", "object", "embed", "base")
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", text)
    assert "data:image/jpeg;base64," in text


def test_text_from_runs_is_escaped(tmp_path):
    run = make_run(
        tmp_path, "demo/1", note=HOSTILE, optimizer="sgd()", data={"words": [HOSTILE] * 5}
    )
    broken = tmp_path / "<b>bold" / "1"
    broken.mkdir(parents=True)
    (broken / f"<i>{'x' * 20}").touch()
    run.write_json("evaluation_center_crop_validation.json", evaluation())
    run.write_json("environment.json", {"python": HOSTILE, "packages": {HOSTILE: HOSTILE}})
    make_run(tmp_path, "demo/2", schedule="</script><script>alert(2)</script>")
    text = page.page(find_records(tmp_path))
    scripts = [attributes for tag, attributes in Elements(text).found if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert not any(tag in ("b", "i") for tag, _ in Elements(text).found)
    assert not any("onerror" in attributes for _, attributes in Elements(text).found)
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in text


def test_it_says_ours_the_papers_and_what_differs(tmp_path):
    make_run(tmp_path, "alexnet/1", net="alexnet", top1s=(0.3, 0.4))
    text = page.page(find_records(tmp_path))
    row = re.search(r"<tbody>\n(<tr>.*?</tr>)", text)[1]
    assert "40.0 %" in row and "59.3 %" in row
    chips = re.findall(r'class="chip">([^<]*)<', row)
    assert chips == ["crops", "epochs", "data", "size", "rate", "decay", "augmentation"]
    assert "crops: center crop here, 10 crops there" in text
    assert "epochs: 2 here, 90 by flags/alexnet.cfg there" in text


def test_it_shows_classes_and_confusions_by_their_words(tmp_path):
    run = make_run(tmp_path, data={"words": ["tench", "goldfish", "shark", "ray", "cock"]})
    run.write_json("evaluation_center_crop_validation.json", evaluation())
    text = page.page(find_records(tmp_path))
    assert "goldfish n00000001 &rarr; ray n00000003" in text
    assert "50.0 to 60.0" in text
    bars = re.findall(r"--share:([\d.]+)%\"><span>(\w+)", text)
    names = ("tench", "goldfish", "shark", "ray", "cock")
    assert bars == [(f"{20 * place:.1f}", name) for place, name in enumerate(names)]


def test_of_many_classes_the_worst_and_the_best_are_shown(tmp_path):
    run = make_run(tmp_path)
    run.write_json("evaluation_center_crop_validation.json", evaluation(classes=40))
    shares = re.findall(r"--share:([\d.]+)%", page.page(find_records(tmp_path)))
    assert [float(share) for share in shares] == [
        *(2.5 * label for label in range(8)),
        *(2.5 * label for label in range(36, 40)),
    ]


def test_only_flags_that_differ_are_listed_and_the_odd_one_is_marked(tmp_path):
    for number, rate in ((1, 0.1), (2, 0.1), (3, 0.5)):
        make_run(tmp_path, f"demo/{number}", learning_rate=rate)
    text = page.page(find_records(tmp_path))
    flags = text[text.index('id="flags"') : text.index('id="details"')]
    assert re.findall(r'scope="row"><code>(\w+)', flags) == ["learning_rate"]
    assert re.findall(r'class="(\w+)"><code>([\d.]+)', flags) == [
        ("usual", "0.1"),
        ("usual", "0.1"),
        ("other", "0.5"),
    ]


def test_no_runs_and_broken_runs_make_a_page_too(tmp_path):
    assert "no run yet" in page.page([])
    run = make_run(tmp_path)
    for path in run.directory.iterdir():
        if path.is_file():
            path.write_bytes(b"\xff{")
    (run.directory / "contact_sheet.png").write_bytes(b"no picture")
    text = page.page(find_records(tmp_path))
    assert "broken" in text and "flags.cfg is not text" in text
    assert "contact_sheet.png" in text


def test_curves_have_the_points_of_the_log_and_no_value_that_json_lacks(tmp_path):
    run = make_run(tmp_path, top1s=(0.2, 0.6))
    with (run.directory / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(metrics_line("validation", 3, 0.7) | {"loss": float("nan")}) + "\n")
    (curve,) = json.loads(curves.curves_json([read_record(run.directory)]))
    assert curve["validation"]["epoch"] == [1, 2, 3]
    assert curve["validation"]["top1"] == [0.2, 0.6, 0.7]
    assert curve["validation"]["loss"][-1] is None
    assert curve["train"]["epoch"] == [0.5, 1, 1.5, 2]
    assert curve["train"]["rate"] == [0.1, 0.1, 0.05, 0.05]


def test_a_long_log_is_thinned_to_the_means_of_neighbours(tmp_path):
    run = make_run(tmp_path)
    lines = [metrics_line("train", at / 100, at / 5000) for at in range(1, 5001)]
    (run.directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (curve,) = json.loads(curves.curves_json([read_record(run.directory)]))
    count = len(curve["train"]["epoch"])
    assert curves.MAX_POINTS / 2 < count <= curves.MAX_POINTS
    assert curve["train"]["top1"][0] == pytest.approx(sum(range(1, 14)) / 13 / 5000, rel=1e-4)


def test_a_place_where_nothing_can_be_written_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output"):
        page.write(tmp_path / "file" / "report.html", [])
