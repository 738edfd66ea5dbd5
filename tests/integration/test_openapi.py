"""The producer against its own description: what the document allows is accepted, anything else is refused as it says."""

import unicodedata

import pytest
import requests
import schemathesis
from hypothesis import assume, settings

from services.messaging.schema import MAX_ID_BYTES
from services.producer import openapi
from services.producer.settings import ProducerSettings

DOCUMENT = openapi.document(ProducerSettings(_env_file=None))
api = schemathesis.openapi.from_dict(DOCUMENT)
api.config.checks.positive_data_acceptance.expected_statuses = ["200", "201"]
api.config.checks.negative_data_rejection.expected_statuses = ["400", "413"]


def is_beyond_json_schema(body) -> bool:
    """Whether it holds what the document tells people only: ids are counted in bytes and unique in a batch."""
    messages = body["messages"] if isinstance(body, dict) and isinstance(body.get("messages"), list) else [body]
    ids = [one["id"] for one in messages if isinstance(one, dict) and isinstance(one.get("id"), str)]
    return len(set(ids)) < len(ids) or any(
        len(one.encode()) > MAX_ID_BYTES >= len(one)
        # Of \p{C} and \p{Z}, Schemathesis knows for sure only the control characters.
        or any(not character.isprintable() and unicodedata.category(character) != "Cc" for character in one)
        for one in ids)


@pytest.fixture(scope="module")
def producer_url(running_lab) -> str:
    return running_lab.settings.producer_url


def test_the_document_is_served(producer_url):
    assert requests.get(f"{producer_url}/openapi.json", timeout=30).json() == DOCUMENT


@api.parametrize()
@settings(max_examples=200)
def test_answers_are_what_the_document_says(case, producer_url):
    assume(not is_beyond_json_schema(case.body))
    case.call_and_validate(base_url=producer_url, timeout=30)
