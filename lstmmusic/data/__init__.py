"""Make minibatches of tunes; read the data sets' file formats."""
