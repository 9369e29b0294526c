"""What the program asks of the machine: files, signals, a terminal, memory, and other processes of the same run."""
