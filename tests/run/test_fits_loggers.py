"""What a logger needs is checked with the config: one line, before any data is read or any folder is written."""

import http.server
import sys
import threading
from functools import partial

import pytest
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from headscope.data.pydoc import PyDoc
from headscope.errors import UserError
from headscope.run.fits import check_loggers
from headscope.watch.loggers.mlflow import MLflow
from headscope.watch.loggers.wandb import Wandb
from tests.inside import train

TINY = ("data=pydoc", "trainer=cpu", "trainer.max_steps=2", "trainer.val_check_interval=1", "callbacks=none")
THEIRS = "lightning.pytorch.loggers"


@pytest.fixture(autouse=True)
def no_accounts(tmp_path, monkeypatch):
    """A user without a key, on a machine without a terminal."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for name, file in (("NETRC", "netrc"), ("WANDB_CONFIG_DIR", "wandb")):
        monkeypatch.setenv(name, str(tmp_path / file))
    import wandb

    wandb.teardown()  # forgets what it has read before
    yield
    wandb.teardown()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["logger=wandb"], "logger.wandb: wandb has no API key; run `wandb login` or set WANDB_API_KEY; or set"),
        (["logger=[csv,wandb]"], "set logger.wandb.offline=true to save files here"),
        (["logger=none", f"+logger.x._target_={THEIRS}.WandbLogger"], "logger.x: wandb has no API key"),
        (
            ["logger=mlflow", "logger.mlflow.store=http://127.0.0.1:1"],
            "refused); start it, or set another logger.mlflow.store",
        ),
        (
            [
                *("logger=csv", f"+logger.y._target_={THEIRS}.MLFlowLogger"),
                "+logger.y.tracking_uri='http://127.0.0.1:1'",
            ],
            "another logger.y.tracking_uri",
        ),
    ],
    ids=["wandb", "one of two", "Lightning's", "server", "Lightning's server"],
)
def test_a_lack_is_found_before_the_data_is_read(options, message, tmp_path, monkeypatch):
    monkeypatch.setattr(PyDoc, "read", lambda self: pytest.fail("the data is read"))
    code, printed = train(*TINY, *options, f"hydra.run.dir={tmp_path}/run")
    assert code == 2
    assert message in printed
    assert "\n" not in printed.strip()
    assert not (tmp_path / "run").exists()


def test_wandb_needs_no_key_to_write_files(tmp_path, monkeypatch):
    with monkeypatch.context() as offline:  # wandb.setup would fix the mode before Lightning sets it
        offline.setattr("wandb.setup", lambda: pytest.fail("wandb was set up"))
        check_loggers({"w": partial(Wandb, folder=str(tmp_path), project="x", offline=True)})
    check_loggers({"w": partial(WandbLogger, mode="disabled")})
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_loggers({"w": partial(Wandb, folder=str(tmp_path), project="x")})


def test_a_key_in_the_environment_or_in_netrc_is_enough(tmp_path, monkeypatch, capsys):
    import wandb

    with monkeypatch.context() as patched:
        patched.setenv("WANDB_API_KEY", "0123456789" * 4)
        check_loggers({"w": partial(WandbLogger)})
    wandb.teardown()
    host = wandb.setup().settings.base_url.partition("://")[2]
    (tmp_path / "netrc").write_text(f"machine {host}\n  login user\n  password {'0123456789' * 4}\n")
    check_loggers({"w": partial(Wandb, folder=str(tmp_path), project="x")})
    assert not capsys.readouterr().err


def test_a_key_of_the_wrong_form_is_named(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(UserError, match=r"^logger\.w: WANDB_API_KEY invalid: .*; or set logger\.w\.offline=true"):
        check_loggers({"w": partial(WandbLogger)})


@pytest.mark.parametrize("code", [200, 401, 404, 500])
def test_a_server_that_answers_anything_is_a_server(code, tmp_path):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        check_loggers({"m": partial(MLflow, folder=str(tmp_path), experiment="x", store=uri)})
        server.shutdown()


@pytest.mark.parametrize(
    ("logger", "package", "install"),
    [
        (Wandb, "wandb", "--editable '.[wandb]'"),
        (MLflow, "mlflow", "--editable '.[mlflow]'"),
    ],
)
def test_a_missing_package_is_named(logger, package, install, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as error:
        check_loggers({"l": partial(logger)})
    assert str(error.value) == f"logger.l needs the package {package}, which is not installed: pip install {install}"


def test_other_loggers_need_nothing():
    check_loggers({"a": None, "b": partial(CSVLogger, "x"), "c": lambda: None})


def test_a_trial_run_needs_no_logger(tmp_path):
    code, printed = train(*TINY, "logger=wandb", "+trainer.fast_dev_run=true", f"hydra.run.dir={tmp_path}/run")
    assert code == 0, printed
