# SPDX-License-Identifier: BSD-3-Clause
"""Random requests from the protocol's own OpenAPI description (extra serve-test, BNN_DATA)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from .conftest import Running


@pytest.mark.filterwarnings("ignore")
def test_no_described_request_fails_or_has_another_answer(
    server: Running, data_dir: Path, tmp_path: Path
) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="needs the extra serve-test")
    description = data_dir / "open-inference-protocol" / "open_inference_rest.yaml"
    if not description.is_file():
        pytest.skip("BNN_DATA has no description of the protocol")
    # Its addresses are written ${NAME}, of which OpenAPI takes the $ as a part of the address.
    text = description.read_text(encoding="utf-8").replace("${", "{")
    (tmp_path / "protocol.yaml").write_text(text, encoding="utf-8")
    schema = schemathesis.openapi.from_path(tmp_path / "protocol.yaml")
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @_given(operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            if case.path_parameters and asked % 2:  # half are for a model that there is
                case.path_parameters |= {"MODEL_NAME": "lfc-w1a1", "MODEL_VERSION": "1"}
            answer = case.call(base_url=f"http://127.0.0.1:{server.port}")
            assert answer.status_code < 500
            if answer.status_code == 200:
                case.validate_response(answer, checks=[
                    schemathesis.checks.CHECKS.get_one("response_schema_conformance"),
                    schemathesis.checks.CHECKS.get_one("content_type_conformance"),
                ])  # fmt: skip
            else:
                assert answer.status_code in (400, 404, 405, 415)
                assert list(answer.json()) == ["error"]

        ask()
    assert asked > 50


def _given(strategy: Any) -> Any:
    from hypothesis import given

    return given(case=strategy)
