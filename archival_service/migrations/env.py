from servicekit.sql.migrations import run

run()
