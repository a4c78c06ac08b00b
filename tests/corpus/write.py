"""Writes the files of the corpus anew; review the diff."""

import json

from hostler.core.events import encode
from tests.corpus import HERE
from tests.corpus.logs import ALL
from tests.corpus.logs_judging import judged
from tests.corpus.logs_modes import modes
from tests.corpus.logs_review import review


def main() -> None:
    for name, made in {**ALL, "modes": modes, "review": review, "judged": judged}.items():
        lines: list[str] = []
        for recorded in made():
            kind, version, body = encode(recorded.event)
            line = {"seq": recorded.seq, "at": recorded.at.isoformat(), "kind": kind, "version": version, "body": body}
            lines.append(json.dumps(line, ensure_ascii=False, sort_keys=True))
        (HERE / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
