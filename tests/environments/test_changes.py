from hostler.environments.supervisor.frames import HEADER_LIMIT, lengths, pack
from hostler.environments.supervisor.watching import told


def test_changes_of_files_with_long_names_fit_into_a_frame_and_what_does_not_is_said_to_be_lost() -> None:
    changes = {f"{number}".ljust(4000, "\udcff"): ("created", False) for number in range(900)}
    frame = told(changes, lost=False)
    lengths(pack(frame)[:8], HEADER_LIMIT)
    assert 0 < len(frame["changes"]) < 900
    assert frame["lost"]
    few = told({"one": ("created", False)}, lost=False)
    assert (len(few["changes"]), few["lost"]) == (1, False)
