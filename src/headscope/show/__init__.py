"""What a model does with a text, as tables and pictures: one file for each `show=` of generate.py."""
