"""Hydra's errors become messages of one line."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from headscope.config.messages import explain


@pytest.mark.parametrize(
    ("script", "typed", "printed"),
    [
        ("train", "quickstart", "'quickstart' has no value; write experiment=quickstart"),
        (
            "train",
            "none",
            "'none' has no value; write callbacks=none or logger=none or position=none or qk_norm=none",
        ),
        ("train", "fast", "'fast' has no value; write KEY=VALUE, as --help shows"),
        ("generate", "top_k", "'top_k' has no value; write top_k=…, or prompt=top_k if this word is the prompt"),
        ("generate", "to", "'to' is not KEY=VALUE; put quotes around the whole prompt: prompt='to …'"),
    ],
)
def test_the_message_for_a_single_word_names_its_key(script, typed, printed):
    with pytest.raises(OverrideParseException) as error:
        OverridesParser.create().parse_overrides([typed])
    assert explain(error.value, script, [typed]) == printed
