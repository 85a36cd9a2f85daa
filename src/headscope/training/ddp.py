"""DistributedDataParallel, which also connects the processes of a run after torchrun has restarted them."""

import atexit
import os

import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy


class Ddp(DDPStrategy):
    """Lightning's strategy; after each restart, the addresses of the processes get a new namespace.

    torchrun keeps one store through all restarts. In torch 2.13, a restarted process finds the addresses of its
    predecessors there, and the run fails or hangs. On several machines the restart counts may differ. There, set
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1, so that torchrun uses a new store.
    """

    def __init__(self) -> None:
        # Our buffers never change. Broadcasting them in each forward pass would block a rank with more batches.
        super().__init__(broadcast_buffers=False)

    def setup_distributed(self) -> None:
        restart, shares_store = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), "TORCHELASTIC_USE_AGENT_STORE"
        if restart != "0" and os.environ.get(shares_store) == "True" and os.environ.get("GROUP_WORLD_SIZE") == "1":
            self._connect(f"restart {restart}")
        super().setup_distributed()

    def _connect(self, namespace: str) -> None:
        """Connects the processes in a namespace, so that Lightning finds them connected."""
        self.set_world_ranks()
        store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))  # type: ignore[attr-defined]
        backend, is_cpu = self._get_process_group_backend(), self.root_device.type == "cpu"
        dist.init_process_group(
            backend,
            store=dist.PrefixStore(namespace, store),  # type: ignore[attr-defined]
            rank=self.global_rank,
            world_size=self.world_size,
            timeout=self._timeout,
            device_id=None if is_cpu else self.root_device,
        )
        if backend == "nccl":
            atexit.register(dist.destroy_process_group)
