"""Random selection of modules for a reader to guess from their paths."""

from tools.module_names import draw, first_sentence, module_paths


def test_a_selection_depends_on_its_seed_alone() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert len(set(draw(7))) == 30


def test_each_module_has_a_first_sentence_to_compare_a_guess_with() -> None:
    assert [path for path in module_paths() if not first_sentence(path)] == []
