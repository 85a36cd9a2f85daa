"""What a config may say: its keys, the values they may hold, and which may change when a run is resumed."""
