"""The outputs of `generate.py show=…`: tables, pictures and a page about a model and a text. One file per output."""
