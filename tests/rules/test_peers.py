"""Other libraries' lists of NumPy's functions, and their tests of the protocols, on images."""

from __future__ import annotations

import warnings

import pytest

from tests.rules.peers import SUITES


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_nothing_that_peers_answer_fails(suite: str) -> None:
    needs, run = SUITES[suite]
    pytest.importorskip(needs, reason=f"needs {needs}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = run()
    failed = [o for o in outcomes if o.state == "failed"]
    assert not failed, failed
    assert all(o.reason for o in outcomes if o.state == "by design")
    assert sum(o.state == "passed" for o in outcomes) > len(outcomes) / 3
