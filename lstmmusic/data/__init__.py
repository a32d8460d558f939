"""Tunes to minibatches; the data sets' file formats."""
