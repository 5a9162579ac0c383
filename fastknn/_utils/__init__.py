"""What every layer may use: checks of arguments, files, blocks of rows, threads, progress."""
