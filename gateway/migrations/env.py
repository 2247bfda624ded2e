from servicekit.migrations import run

run()
