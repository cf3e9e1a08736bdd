"""Bad inputs for every command, each with words that a good error message contains."""
