"""Turns numbers and text into pictures, charts and pages.

matplotlib draws charts (`figures`). Pillow draws attention maps, matrices and tables (`pictures`, `grid`), which are
arrays of coloured cells with labels, because training waits for these pictures and Pillow is faster: a picture of one
layer with 4 heads takes 19 ms with Pillow and 630 ms with matplotlib's Agg canvas if it shows 64 tokens, and 4 ms and
281 ms if it shows 32 (best of 9 alternating runs, one CPU thread).
"""
