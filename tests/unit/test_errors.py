"""The exception tree is what its docstring draws."""

from __future__ import annotations

import re

from jobu_core import errors


def drawn() -> dict[str, str]:
    """Return class → parent as the module's docstring draws them."""
    parents: dict[int, str] = {}
    tree: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r"^    (?P<indent>[│ ]*)[├└]── (?P<name>\w+)", line)
        if line.strip() == "JobuError":
            parents[0] = "JobuError"
        elif branch:
            depth = len(branch["indent"]) // 4 + 1
            tree[branch["name"]] = parents[depth - 1]
            parents[depth] = branch["name"]
    return tree


def raised() -> dict[str, type[errors.JobuError]]:
    """Return every class of the module except the base."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.JobuError)
        and value is not errors.JobuError
    }


def test_docstring_and_classes_draw_the_same_tree() -> None:
    """A class that is missing in the drawing, or hangs elsewhere, is noticed."""
    assert drawn() == {name: kind.__bases__[0].__name__ for name, kind in raised().items()}


def test_each_error_has_a_code_of_its_own() -> None:
    """Codes are stable slugs for rows and JSON; no two classes share one."""
    codes = [kind.code for kind in raised().values()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)
