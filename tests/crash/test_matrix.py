"""The page of the crash matrix is what the story comes to today, and every cell of it is sound."""

from tests.crash.matrix import BEGIN, END, PAGE, apart, cell
from tests.crash.matrix_story import tell


def test_the_page_says_what_every_kill_comes_to_today():
    told = apart()
    cells = [part.strip() for row in told.splitlines() if row.startswith("| ") for part in row.split("|")[3:5]]
    assert len(cells) > 80
    for one in cells[2:]:
        assert one == "did not come to it" or (" 0 lost; " in one and "ran once" in one and "as undisturbed" in one)
    written = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert written == told, "make crash-matrix writes the page anew"


def test_a_story_that_ends_otherwise_would_be_told_apart():
    calm, other = tell(), tell(5)
    assert cell(other, calm).endswith("as undisturbed")
    other.runs["make test"] += 1
    other.kinds["ToolFinished"] += 1
    assert "as undisturbed" not in cell(other, calm)
    assert "ran once" not in cell(other, calm)
