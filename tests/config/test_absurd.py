"""Values that no machine can hold, and words that Hydra cannot read, are refused in one line, at once."""

import resource

import numpy as np
import pytest

import headscope
from headscope.config.generate_keys import GenerateConfig
from headscope.config.keys import TrainConfig
from headscope.config.schema import parse
from headscope.errors import UserError
from headscope.run import fits
from headscope.training.hardware import Choice
from tests.config.test_schema import checked
from tests.inside import TINY, train


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("batch_size=1000000000", "for each batch, and cpu has"),
        ("model.block_size=1000000000", "for each batch, and cpu has"),
        ("model.d_model=1000000", "lower model.d_model or model.n_layers"),
        ("model.n_layers=10000000", "lower model.d_model or model.n_layers"),
        ("model.d_model=1000000000000", "the model cannot be built"),
        ("model.d_model=" + "9" * 30, "must be between -2^63 and 2^63"),
        ("batch_size=" + "9" * 350, "… must be between -2^63 and 2^63"),
        ("seed=" + "9" * 5000, "seed has a number of more than 400 digits"),
        ("trainer.threads=100000000", "trainer.threads=100000000 must be at most 1024"),
        ("trainer.accumulate_grad_batches=1000000000", "must be at most 65536"),
        ("+trainer.fast_dev_run=100000000", "at most 10000"),
        ("optimizer.betas=" + "[" * 300 + "]" * 300, "more than 20 levels deep"),
        ("+data.x=" + "{a: " * 300 + "1" + "}" * 300, "more than 20 levels deep"),
        ("+=", "'+=' has no key; write KEY=VALUE"),
        ("+=3", "'+=3' has no key; write KEY=VALUE"),
        ("~", "'~' has no key; write KEY=VALUE"),
        ("seed+=3", "seed+= is not possible; write seed=VALUE"),
        ("model._target_=headscope.model.transformer.LanguageModel", "is a base class"),
        ("data._target_=headscope.data.corpus.Source", "is a base class, which does not implement load"),
        ("+callbacks.x._target_=headscope.watch.heads.HeadViewer", "is a base class, which does not implement show"),
        ("hydra.job_logging.root.level=x", "hydra.job_logging is invalid: Unknown level: 'x'"),
        ("hydra.job_logging.handlers.console.class=nothing", "hydra.job_logging is invalid: Cannot resolve 'nothing'"),
    ],
    ids=lambda text: text[:40],
)
def test_an_absurd_value_is_refused_in_one_line(typed, printed, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code, said = train(*TINY, typed, f"hydra.run.dir={tmp_path}/run", cwd=tmp_path)
    assert code == 2
    assert printed in said
    assert len(said) < 600
    assert said.count("\n") == 0
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024  # kB


CPU = Choice("cpu", 1, "auto", "32-true", False, False, "")


@pytest.mark.parametrize("override", ["position=learned", "position=t5", "feedforward=swiglu", "model=gpt2"])
def test_the_estimate_counts_every_layer(override):
    """Against the model itself, whose layers are all alike."""
    config = checked(override, *([] if "model" in override else ["model.n_layers=20"]))
    model, layers = config.model(1), config.model.keywords["n_layers"]
    count = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    assert fits.needed_memory(config, CPU)[0] == 3 * 4 * count + layers * fits.LAYER


def test_what_fits_is_not_refused(monkeypatch):
    config = checked()
    needed = sum(fits.needed_memory(config, CPU))
    monkeypatch.setattr(fits, "_available_memory", lambda choice: needed)
    fits.check_fits(config, CPU, "")
    with pytest.raises(UserError, match="this run needs at least"):
        fits.check_fits(checked("model.block_size=65"), CPU, "")


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(fits, "GROUP_LIMIT", tmp_path / "memory.max")
    whole = fits._available_memory(CPU)
    (tmp_path / "memory.max").write_text("max\n")
    assert fits._available_memory(CPU) == whole
    (tmp_path / "memory.max").write_text("1000000\n")
    assert fits._available_memory(CPU) == 1_000_000


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        (lambda: headscope.train(experiment="toy"), r"write headscope\.train\('experiment=toy'\)"),
        (lambda: headscope.compose("seed=1", task="fit"), r"write headscope\.compose\('task=fit'\)"),
        (lambda: headscope.compose(f"seed={np.int64(3)!r}"), r"seed=np\.int64\(3\) is how Python .*; write seed=3"),
        (lambda: headscope.compose("fo=1", "ba=2"), "there is no key fo"),
    ],
)
def test_mistakes_in_python(call, printed):
    with pytest.raises(UserError, match=printed):
        call()


def test_numbers_of_numpy_are_numbers():
    found = parse({"seed": np.int64(3), "temperature": np.float64(0.5)}, GenerateConfig)
    assert (found.seed, found.temperature) == (3, 0.5)
    assert type(found.seed) is int


def test_a_wrong_name_suggests_the_nearest_and_not_null():
    with pytest.raises(UserError) as refused:
        parse({"show": "head"}, GenerateConfig)
    assert str(refused.value).endswith("attention, heads, page; did you mean show=heads?")
    with pytest.raises(UserError, match=r"did you mean trainer\.accelerator=gpu\?"):
        checked("trainer.accelerator=gpus")


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        (["positon=rope"], "there is no key positon; did you mean position?"),
        (["experimant=toy"], "there is no key experimant; did you mean experiment?"),
        (["optimiser.lr=1"], "did you mean optimizer.lr?"),
        (["~trainer.threads"], "trainer.threads is null; leave ~trainer.threads out"),
        (["~trainer.thread"], "there is no key trainer.thread; did you mean trainer.threads?"),
        (["--config-name", "generate"], "so it is not the config of a run"),
        (["--cfg", "hydra", "--resolve"], "use --cfg all --resolve -p hydra"),
        (["--resolve"], "the --resolve flag can only be used in conjunction with --cfg or --help"),
        (["--cfg", "job", "--info"], "only one of --run, --multirun, --cfg, --info"),
        (["--shell-completion", "query=bash"], "--shell-completion needs install=SHELL"),
        (["--config-dir"], "--config-dir has no value; write --config-dir=…"),
    ],
)
def test_a_message_names_the_cause(typed, printed, tmp_path):
    code, said = train(*typed, cwd=tmp_path)
    assert code == 2
    assert printed in said
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_option_of_the_trainer_is_found_without_torch():
    """What this module imports decides how long a mistake takes; the types of these keys are the run's own."""
    from tests.conftest import shell

    code = (
        "import sys; from headscope.cli.early import refuse_early\nassert not {'torch', 'lightning'} & set(sys.modules)"
    )
    assert shell("-c", code).returncode == 0
    assert TrainConfig.__mro__[1].__name__ == "PlainKeys"
    for wrong in ("trainer.max_steps=ten", "batch_size=x", "task=fitt"):
        done = shell("-X", "importtime", "train.py", wrong)
        assert done.returncode == 2
        assert wrong in done.stderr
        assert "| torch\n" not in done.stderr


@pytest.mark.parametrize("key", ["callbacks.samples.tokens", "max_new_tokens", "num_samples"])
def test_no_text_may_be_longer_than_the_memory(key):
    for_train = key.startswith("callbacks")
    check = headscope.compose if for_train else lambda word: parse({key: int(word.partition("=")[2])}, GenerateConfig)
    with pytest.raises(UserError, match=f"{key}=100000000000 must be at most"):
        check(f"{key}=100000000000")
