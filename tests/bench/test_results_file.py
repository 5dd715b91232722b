"""RESULTS.md holds one current table per subject; what is replaced stays in HISTORY.md."""

from pathlib import Path

from bench import results_file

RESULTS = "# Results\n\nHow to read this.\n"
HISTORY = "# Past results\n\nLast replaced first.\n"


def kept(folder: Path, *runs: tuple[str, str, str]) -> tuple[str, str]:
    results, history = folder / "RESULTS.md", folder / "HISTORY.md"
    results.write_text(RESULTS)
    history.write_text(HISTORY)
    for group, run, text in runs:
        results_file.keep(group, run, text, results, history)
    return results.read_text(), history.read_text()


def test_a_newer_table_replaces_its_subject_alone(tmp_path: Path) -> None:
    results, history = kept(
        tmp_path,
        ("Engine", "run 1.", "### Speed\n\n| 1 |\n\n### Memory\n\n| 2 |\n"),
        ("Gateway", "run 2.", "no sections\n"),
        ("Engine", "run 3.", "### Speed\n\n| 3 |\n"),
        ("Engine", "run 4.", "### Speed\n\n| 4 |\n"),
    )
    assert results == (
        "# Results\n\nHow to read this.\n\n## Engine\n\n### Speed\n\nrun 4.\n\n| 4 |\n\n### Memory\n\nrun 1.\n\n| 2 |\n"
        "\n## Gateway\n\n### All\n\nrun 2.\n\nno sections\n"
    )
    assert history == (
        "# Past results\n\nLast replaced first.\n\n## Engine: Speed\n\nrun 3.\n\n| 3 |\n"
        "\n## Engine: Speed\n\nrun 1.\n\n| 1 |\n"
    )


def test_the_file_of_the_project_has_each_subject_once() -> None:
    text = results_file.RESULTS.read_text()
    head, tables = results_file.read(text)
    assert results_file.write(head, tables) == text
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    assert len(headings) == len(tables) > 10


def test_the_table_of_the_readme_is_replaced_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# FinOps\n\n{results_file.BEGIN}| old |\n{results_file.END}\nMore.\n")
    results_file.keep_in_readme("| new |\n", readme)
    assert readme.read_text() == f"# FinOps\n\n{results_file.BEGIN}| new |\n{results_file.END}\nMore.\n"


def test_a_readme_without_a_place_for_the_table_stays_as_it_is(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# FinOps\n")
    results_file.keep_in_readme("| new |\n", readme)
    assert readme.read_text() == "# FinOps\n"


def test_the_readme_has_a_place_for_the_table() -> None:
    text = results_file.README.read_text()
    assert text.count(results_file.BEGIN) == text.count(results_file.END) == 1
