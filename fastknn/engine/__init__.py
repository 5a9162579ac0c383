"""The compiled core: blocked macro-kernels in Cython over one table of C micro-kernels per CPU."""
