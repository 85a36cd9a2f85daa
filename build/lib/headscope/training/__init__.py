"""The LightningModule, what updates its weights, and the machine it runs on."""
