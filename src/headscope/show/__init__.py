"""The answers of `generate.py show=…`: tables, pictures and a page about a model and a text; one file per answer."""
