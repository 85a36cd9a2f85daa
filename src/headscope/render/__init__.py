"""Turns numbers and text into pictures, charts and pages.

Two libraries draw. Charts (`figures`) use matplotlib. Attention maps, matrices and tables (`pictures`, `grid`)
are arrays of coloured cells with labels, and Pillow draws them, because training waits for them: a picture of one
layer (4 heads, 64 tokens, all of them shown) takes 19 ms with Pillow and 630 ms with matplotlib's Agg canvas, 34 times
as long; of the 32 tokens that TensorBoard shows, 4 ms and 281 ms (best of 9 alternating runs, one CPU thread).
"""
