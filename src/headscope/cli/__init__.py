"""The command lines of train.py and generate.py."""
