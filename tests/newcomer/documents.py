"""The lines of a Markdown file that a reader would type.

    documents.py FILE shell           indented lines, in order
    documents.py FILE python KERAS    the fenced Python block in which this word stands, up to the next comment
    documents.py FILE rust WORD       the fenced Rust block in which this word stands
"""

import sys
from pathlib import Path


# What else stands in indented blocks is what these print.
PROGRAMS = {"boards", "cargo", "converter", "foldnet-train", "mdbook", "pip", "runtime"}


def indented(text: str) -> list[str]:
    """The command lines of indented code blocks."""
    lines: list[str] = []
    in_fence, before = False, ""
    for line in text.splitlines():
        if line.startswith("```"):
            in_fence = not in_fence
        elif not in_fence and line.startswith("    ") and (not before or before.startswith("    ")):
            if line.split()[0] in PROGRAMS:
                lines.append(line.strip())
        before = line
    return lines


def fenced(text: str, language: str, word: str) -> str:
    """The block of this language that has the word; of a block in parts, which comments begin, the part."""
    for block in text.split(f"```{language}")[1:]:
        code = block.split("\n", 1)[1].split("```")[0]
        parts = code.split("\n\n")
        found = [part for part in parts if word in part] if language == "python" else [code] if word in code else []
        if found:
            return found[0]
    raise SystemExit(f"no {language} block has {word!r}")


if __name__ == "__main__":
    document = Path(sys.argv[1]).read_text()
    if sys.argv[2] == "shell":
        print("\n".join(indented(document)))
    else:
        print(fenced(document, sys.argv[2], sys.argv[3]))
