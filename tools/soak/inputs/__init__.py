"""Bad inputs of every command line, each with what a good message about it names."""
