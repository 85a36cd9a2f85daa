"""Checks what the loggers of a config need, such as a package, a key or a server, before a run prepares anything."""

import importlib.util
import io
import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from functools import partial
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from lightning.pytorch.loggers import CometLogger, Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.loggers.litlogger import LitLogger

from headscope.config.keys import TrainConfig
from headscope.errors import UserError
from headscope.run.folder import RunFolder

#: The package that a logger or a subclass of it imports, and how to install the package.
PACKAGES: Mapping[type, tuple[str, str]] = {
    WandbLogger: ("wandb", "--editable '.[wandb]'"),
    MLFlowLogger: ("mlflow", "--editable '.[mlflow]'"),
    CometLogger: ("comet_ml", "comet_ml"),
    LitLogger: ("litlogger", "litlogger"),
}
Loggers = Mapping[str, Callable[..., Logger] | None]  #: constructors, by name
TIMEOUT = 10  #: seconds that a server has to answer; MLflow's own client waits for minutes


def checked_loggers(config: TrainConfig, folder: RunFolder, first: bool) -> Loggers:
    """Returns the constructors of a run's loggers; only the `first` of its processes checks and uses them."""
    # A validation in the folder of an earlier run must not replace that run's log.
    loggers: Loggers = config.logger if config.task == "fit" or not folder.occupied else {}
    if first and not config.trainer.fast_dev_run:  # a trial run writes no log
        check_needs(loggers)
    return loggers


def check_needs(loggers: Loggers) -> None:
    """Raises `UserError` if one of the loggers cannot work on this machine."""
    for name, build in loggers.items():
        if not isinstance(build, partial) or not isinstance(build.func, type):
            continue
        for base, (package, install) in PACKAGES.items():
            if issubclass(build.func, base) and importlib.util.find_spec(package) is None:
                needed = f"logger.{name} needs the package {package}, which is not installed"
                raise UserError(f"{needed}: pip install {install}")
        if issubclass(build.func, WandbLogger):
            _check_wandb(f"logger.{name}", build.keywords)
        elif issubclass(build.func, MLFlowLogger):
            _check_mlflow(f"logger.{name}", build.keywords)


def _check_wandb(at: str, options: Mapping[str, Any]) -> None:
    """Raises `UserError` if wandb would send to its server but has no key, without asking the server."""
    import wandb

    mode = options.get("mode") or os.environ.get("WANDB_MODE") or wandb.setup().settings.mode
    if options.get("offline") or mode in ("offline", "dryrun", "disabled"):
        return
    try:
        with redirect_stderr(io.StringIO()):  # wandb prints the same lines when the run starts
            has_key = wandb.login(prompt=False, verify=False)
    except wandb.Error as e:
        raise UserError(f"{at}: {' '.join(str(e).split())}; or set {at}.offline=true to save files here") from e
    if not has_key:
        log_in = "run `wandb login`, set WANDB_API_KEY"
        raise UserError(f"{at}: wandb has no API key; {log_in}, or set {at}.offline=true to save files here")


def _check_mlflow(at: str, options: Mapping[str, Any]) -> None:
    """Raises `UserError` if no server answers at the address of MLflow's store; any answer is good enough."""
    key = "store" if "store" in options else "tracking_uri"
    uri = str(options.get(key) or os.environ.get("MLFLOW_TRACKING_URI") or "")
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urlopen(f"{uri.rstrip('/')}/health", timeout=TIMEOUT).close()
    except HTTPError:
        return
    except (OSError, ValueError) as e:
        reason = e.reason if isinstance(e, URLError) else e
        if not isinstance(reason, ssl.SSLError):  # MLflow can be told to accept any certificate
            raise UserError(f"{at}: no server answers at {uri} ({reason}); start it, or set another {at}.{key}") from e
